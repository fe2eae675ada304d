//! For tests: a native testbed on real servers, with roles that do nothing but answer. They are a script, so that testing
//! the testbed needs no platform; what Perl it takes is in every Debian.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path};

use super::Native;
use crate::{
    api::{
        Region,
        role::{HANDSHAKE, Policy, Timers},
    },
    os::files,
    testbed::{
        layout::Site,
        setup::{self, Programs, SetupMode},
        spec::Spec,
    },
};

const ROLE: &str = r#"#!/usr/bin/perl
use strict; use warnings; use IO::Socket::INET; use IO::Select;
if ($ARGV[1] eq '--handshake') { print "HANDSHAKE\n"; exit }
if ($ARGV[1] eq 'guardian') { $| = 1; print "watching\n"; 1 while <STDIN>; exit }
open my $file, '<', $ARGV[3] or die; my $text = do { local $/; <$file> };
die "told to die\n" if -e "$ARGV[3].die";
$SIG{CHLD} = 'IGNORE';
my (%answers, $select); $select = IO::Select->new;
for my $key (qw(listen listen_sql listen_files)) {
    next unless $text =~ /"$key": "127.0.0.1:(\d+)"/;
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $1, Listen => 64, ReuseAddr => 1) or die "$key $1: $!";
    $answers{$socket} = $key eq 'listen' ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" : "ok\n";
    $select->add($socket);
}
while (my @ready = $select->can_read) {
    for my $socket (@ready) {
        my $peer = $socket->accept or next;
        next if fork;
        my ($end, $read) = ($answers{$socket} eq "ok\n" ? "\n" : "\r\n\r\n", '');
        while (index($read, $end) < 0) { sysread($peer, $read, 65536, length $read) or exit }
        syswrite $peer, $answers{$socket};
        exit;
    }
}
"#;

/// A specification with fake roles, in a folder of its own.
pub(crate) async fn spec(parent: &Path, zones: u8, slots: u16) -> (Spec, Programs) {
    let programs = setup::ensure(&|line: &str| eprintln!("{line}"), SetupMode::Auto).await.unwrap();
    files::give(parent).unwrap();
    let role_binary = parent.join("role.pl");
    std::fs::write(&role_binary, ROLE.replace("HANDSHAKE", HANDSHAKE)).unwrap();
    std::fs::set_permissions(&role_binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let spec = Spec {
        regions: ["east", "west"].map(|name| name.parse().unwrap()),
        zones,
        environments_max: slots,
        timers: Timers::default(),
        policy: Policy::default(),
        sabotage: None,
        role_binary,
        parent_folder: parent.to_owned(),
        run_id: "run".to_owned(),
        quotas: BTreeMap::new(),
        small_disks: Vec::new(),
    };
    (spec, programs)
}

/// A folder for runs of tests.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("gd").tempdir_in("/var/tmp").unwrap()
}

/// A testbed with fake roles.
pub(crate) async fn up(parent: &Path, slots: u16) -> Native {
    up_with_zones(parent, 1, slots).await
}

/// A testbed with fake roles, whose regions have so many zones.
pub(crate) async fn up_with_zones(parent: &Path, zones: u8, slots: u16) -> Native {
    let (spec, programs) = spec(parent, zones, slots).await;
    Native::up(spec, programs).await.unwrap()
}

impl Native {
    /// Folder of the Postgres programs, and the template cluster.
    pub(crate) fn postgres(&self) -> (&Path, &Path) {
        (&self.programs.postgres_bin, &self.programs.template)
    }

    /// The streams on which a link's proxies have toxics.
    pub(crate) async fn toxic_streams(&self, link: &crate::model::link::Link) -> Vec<String> {
        self.links.toxic_streams(link).await
    }

    /// The port of a region's first slot.
    pub(crate) fn postgres_port(&self, region: &Region) -> u16 {
        self.layout.own[&Site::whole(region)].postgres[0].port()
    }
}
