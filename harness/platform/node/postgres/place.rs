//! Where a cluster is and what it is reached by.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf};

use super::SUPERUSER;
use crate::{
    api::{
        Address, EnvironmentId, Region, Zone,
        environment::Login,
        node::Spec,
        role::{NodeConfig, NodeSlot},
        sabotage::Sabotage,
    },
    os::spawn::ServiceUser,
};

/// The fixed facts of one cluster.
#[derive(Clone)]
pub struct Place {
    /// Environment.
    pub environment: EnvironmentId,
    /// Where the server listens.
    pub listen: IpAddr,
    /// This region, which is the cluster's name.
    pub region: Region,
    /// The other.
    pub peer: Region,
    /// The zone.
    pub zone: Zone,
    /// Which cluster is followed, if this one is a standby.
    pub follows: (Region, Zone),
    /// The zone without whose standby nothing is acknowledged, if this one is a primary.
    pub synchronous: Option<Zone>,
    /// How it was ordered.
    pub spec: Spec,
    /// Ports; `None` if the node has no such slot.
    pub ports: Option<NodeSlot>,
    /// Data folder.
    pub data: PathBuf,
    /// Folder of sockets.
    pub sockets: PathBuf,
    /// The server's log.
    pub log: PathBuf,
    /// Password file for the receiver.
    pub passfile: PathBuf,
    /// Folder of the Postgres programs.
    pub programs: PathBuf,
    /// Cluster to copy.
    pub template: Option<PathBuf>,
    /// The auditor.
    pub auditor: Login,
    /// The site's folder.
    pub site: PathBuf,
    /// Home of the programs.
    pub home: PathBuf,
    /// How the node is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Place {
    /// From the node's configuration and the order.
    pub fn new(config: &NodeConfig, environment: &EnvironmentId, spec: &Spec) -> Self {
        let file = |folder: &str, suffix: &str| config.data.join(folder).join(format!("{environment}{suffix}"));
        Self {
            environment: environment.clone(),
            listen: config.listen.ip(),
            region: config.region.clone(),
            peer: config.peer.clone(),
            zone: config.zone,
            follows: (config.peer.clone(), Zone::FIRST),
            synchronous: None,
            spec: spec.clone(),
            ports: config.slots.get(usize::from(spec.slot)).cloned(),
            data: file("pg", ""),
            sockets: config.data.join("s"),
            log: file("log", ".postgres.log"),
            passfile: file("pass", ""),
            programs: config.postgres_bin.clone(),
            template: config.template.clone(),
            auditor: config.auditor.clone(),
            site: config.site.clone(),
            home: config.data.clone(),
            sabotage: config.sabotage,
        }
    }

    /// Name of the slot by which the replica in `region` streams from this cluster.
    pub fn slot_of(region: &Region) -> String {
        slot_named(region.as_str())
    }

    /// Name of the slot by which this cluster streams from the one that it follows.
    pub fn own_slot(&self) -> String {
        slot_named(&self.follower())
    }

    /// The name under which this cluster follows: of its zone within its region, of its region across.
    pub fn follower(&self) -> String {
        match self.follows.0 == self.region {
            true => zone_follower(&self.region, self.zone),
            false => self.region.to_string(),
        }
    }

    /// Whom a primary waits for, as Postgres is told.
    pub fn awaited(&self) -> String {
        self.synchronous.map(|zone| first_of(&zone_follower(&self.region, zone))).unwrap_or_default()
    }

    /// Where the cluster is that is followed.
    pub fn followed(&self) -> Option<&Address> {
        let (region, zone) = &self.follows;
        self.ports.as_ref()?.sources.get(region)?.get(zone.index())
    }

    /// Who may be the superuser by the socket: the user servers run as, and the one who runs this process.
    pub fn system_users() -> BTreeSet<String> {
        let own = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
        own.into_iter().chain(ServiceUser::current().map(|user| user.name)).collect()
    }

    /// Where a copy of this cluster that nobody else sees stands for a while: other folders, the same port number, which
    /// names a socket alone.
    pub fn scratch(&self) -> Self {
        let environment = &self.environment;
        Self {
            data: self.home.join("scratch").join(environment.as_str()),
            sockets: self.home.join("x"),
            log: self.home.join("log").join(format!("{environment}.scratch.log")),
            ..self.clone()
        }
    }

    /// Whether a whole cluster is there: folders are made beside and renamed.
    pub fn exists(&self) -> bool {
        self.data.join("PG_VERSION").exists()
    }

    /// How libpq reaches the cluster that is followed, without its password.
    pub fn source(&self) -> Option<String> {
        let source = self.followed()?;
        let user = &self.spec.credentials.sql_replication.user;
        Some(format!(
            "host={host} port={port} user={user} application_name={name} passfile={passfile} sslmode=disable \
             gssencmode=disable connect_timeout=3",
            host = source.host(),
            port = source.port(),
            name = self.follower(),
            passfile = quote_conninfo(&self.passfile.to_string_lossy()),
        ))
    }
}

/// The name under which a zone's standby follows its region's primary. No region may be named so.
pub fn zone_follower(region: &Region, zone: Zone) -> String {
    format!("{region}.zone-{zone}")
}

/// The standby of this name, as the only one that is waited for.
pub(super) fn first_of(name: &str) -> String {
    format!("FIRST 1 (\"{name}\")")
}

fn slot_named(follower: &str) -> String {
    follower.replace(['-', '.'], "_")
}

fn quote_conninfo(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The superuser's line of `pg_ident.conf` for each system user.
pub(super) fn ident() -> String {
    Place::system_users().iter().map(|user| format!("node \"{user}\" {SUPERUSER}\n")).collect()
}
