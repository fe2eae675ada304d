//! What is where: each container's ports, the layout that follows, the files that are mounted, and the variables that
//! `docker-compose.yml` takes. Pure, but for writing the files.
//!
//! The ports of a container are a row of numbers, published under the same numbers, since Compose publishes ranges and no
//! lists. `fixtures/compose/`, `fixtures/compose-zones/` and the defaults in the Compose files are made by this very code. Of regions
//! with zones what undivided ones have too comes first and has the same ports, so that one file is laid over the other.
//!
//! What all zones of a region call alike is told apart by where they call from: each has a network of its own, in which the
//! name is a Toxiproxy's address, and only calls to that address are led to that zone's link ([`crossings`]).

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use serde::Serialize;

use super::relay::RelayConfig;
use crate::{
    api::{Address, Region},
    clients::toxiproxy::ProxyState,
    testbed::{
        layout::{Group, Layout, NodePrograms, Secrets, Settings, Site, hosts},
        ports,
    },
};

/// The project's Compose file, and what is laid over it where regions have zones: each with the name that it has in a run's folder
/// too.
const COMPOSE: (&str, &str) = ("docker-compose.yml", include_str!("../../../docker-compose.yml"));
const COMPOSE_ZONES: (&str, &str) = ("docker-compose.zones.yml", include_str!("../../../docker-compose.zones.yml"));

/// The folder of the sites' folders in every container.
const FOLDER: &str = "/var/lib/geodrill";

/// The names that regions have.
pub(super) const REGIONS: [&str; 2] = ["east", "west"];

/// A project of Compose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project(pub String);

impl Project {
    /// The name of a service's one container.
    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.0)
    }
}

/// The regions of a stack, and what there is of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Size {
    /// The regions.
    pub regions: [Region; 2],
    /// Zones of each.
    pub zones: u8,
    /// Slots for environments.
    pub slots: u16,
}

impl Size {
    /// How many ports that needs.
    pub fn ports(&self) -> u16 {
        self.needed().values().sum()
    }

    fn needed(&self) -> BTreeMap<String, u16> {
        let mut counts = Layout::needed(&self.regions, self.zones, self.slots);
        // The relay's tunnel and the port where it dials for us, and the stores' consoles.
        let of_relay = [hosts::CLIENT, hosts::CLIENT].map(str::to_owned);
        let sites = self.regions.iter().flat_map(|region| Site::of(region, self.zones));
        for host in sites.map(|site| hosts::of(site, "files")).chain(of_relay) {
            *counts.entry(host).or_default() += 1;
        }
        counts
    }
}

/// The ports of each host that has some: a row, but of the links between sites, of which the first alone is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    size: Size,
    first: u16,
    of: BTreeMap<String, Vec<u16>>,
}

impl Rows {
    /// Rows from this port on.
    pub fn from(first: u16, size: &Size) -> Self {
        let mut rows = Self { size: size.clone(), first, of: BTreeMap::new() };
        let mut next = first;
        for needed in [Size { zones: 1, ..size.clone() }.needed(), size.needed()] {
            for (host, count) in needed {
                let row = rows.of.entry(host).or_default();
                let more = count - row.len() as u16;
                row.extend(next..next + more);
                next += more;
            }
        }
        rows
    }

    fn row(&self, host: &str) -> &[u16] {
        self.of.get(host).map(Vec::as_slice).unwrap_or_default()
    }

    /// The port on which the examiner reaches the relay of notices.
    pub fn tunnel(&self) -> u16 {
        self.dial() - 1
    }

    /// The port on which the relay dials for the examiner.
    pub fn dial(&self) -> u16 {
        self.row(hosts::CLIENT).last().copied().unwrap_or_default()
    }

    /// The layout on these ports.
    pub fn layout(&self) -> Layout {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let every = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let Size { regions, zones, slots } = &self.size;
        Layout::new(Path::new(FOLDER), every, regions, *zones, *slots, &mut |host| {
            let count = taken.entry(host.to_owned()).or_default();
            *count += 1;
            Address::new(host, self.row(host).get(*count - 1).copied().unwrap_or_default())
        })
    }

    /// What the Compose files ask for: `GEODRILL_PORTS_EAST_FILES` and the like; where one port of several is named,
    /// `GEODRILL_PORT_…`; and the first three numbers of all addresses, `GEODRILL_NET` and of what zones have besides
    /// `GEODRILL_NET_ZONES`, which no other run of this machine has, since none has these ports.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let block = ports::block_of(self.first);
        let mut variables = BTreeMap::from([("GEODRILL_NET".to_owned(), format!("{}.{block}", subnet()))]);
        if self.size.zones > 1 {
            // With zones there are more ports than a block has.
            variables.insert("GEODRILL_NET_ZONES".to_owned(), format!("{}.{}", subnet(), block + 1));
        }
        for (host, row) in &self.of {
            let (Some(first), Some(last)) = (row.first(), row.last()) else { continue };
            let name = host.to_uppercase().replace('-', "_");
            // Of the links between sites only the API is published.
            if !host.starts_with("links-") || host == &hosts::links(&Group::Common) {
                variables.insert(format!("GEODRILL_PORTS_{name}"), format!("{first}-{last}"));
            }
            if host.starts_with("links-") || host.ends_with("-files") {
                variables.insert(format!("GEODRILL_PORT_{name}"), first.to_string());
            }
            if host.ends_with("-files") {
                variables.insert(format!("GEODRILL_PORT_{name}_CONSOLE"), last.to_string());
            }
        }
        variables
    }
}

/// The first two numbers of all addresses, of which a machine may have other uses.
fn subnet() -> String {
    std::env::var("GEODRILL_SUBNET").ok().filter(|subnet| !subnet.is_empty()).unwrap_or_else(|| "10.213".to_owned())
}

/// Secrets of a run. The stores' root is the examiner's own login, the same in both, since MinIO takes it when it starts.
pub(super) fn secrets(regions: &[Region; 2]) -> Secrets {
    let mut secrets = Secrets::draw(regions);
    for root in secrets.files_root.values_mut() {
        root.clone_from(&secrets.auditor_s3);
    }
    secrets
}

/// The Compose files of a layout, each laid over those before it: their names and texts.
pub(super) fn compose_files(layout: &Layout) -> &'static [(&'static str, &'static str)] {
    if layout.zones > 1 { &[COMPOSE, COMPOSE_ZONES] } else { &[COMPOSE] }
}

/// What a Toxiproxy has in the network of each zone, at its own address there, for what all of a region's zones call alike: the
/// way to that zone's link, which itself listens in every network, for the examiner to try it.
pub(super) fn crossings(layout: &Layout) -> BTreeMap<Group, Vec<ProxyState>> {
    let mut crossings: BTreeMap<Group, Vec<ProxyState>> = BTreeMap::new();
    for shared in &layout.shared {
        for (site, way) in &shared.ways {
            let name = format!("{site}.{}.files.called", shared.to);
            let listen = Address::new(format!("in-{site}"), shared.listen.port());
            let state = ProxyState::new(name, listen, &Address::from(way.port()), true);
            crossings.entry(shared.group()).or_default().push(state);
        }
    }
    crossings
}

/// What is mounted into the containers.
pub(super) struct Mounted<'a> {
    /// What is where.
    pub layout: &'a Layout,
    /// The relay's tunnel.
    pub rows: &'a Rows,
    /// Secrets of the run.
    pub secrets: &'a Secrets,
    /// What the roles are told besides.
    pub settings: Settings<'a>,
}

impl Mounted<'_> {
    /// The files by name. `links`: with every proxy, for who starts the containers by hand; the examiner makes its own, since a
    /// Toxiproxy that comes back must not open what is impeded.
    ///
    /// # Errors
    /// What cannot be written as JSON, which nothing is.
    pub fn files(&self, links: bool) -> io::Result<BTreeMap<String, String>> {
        let Mounted { layout, secrets, settings, .. } = self;
        let mut files = BTreeMap::new();
        let mut add =
            |name: String, text: io::Result<String>| text.map(|text| files.insert(format!("{name}.json"), text));
        add(hosts::CONTROL.to_owned(), json(&layout.control_config(secrets, settings)))?;
        add(hosts::EDGE.to_owned(), json(&layout.edge_config(secrets, settings)))?;
        let receiver = layout.proxies.iter().find(|proxy| proxy.upstream.host() == hosts::CLIENT);
        let listen = receiver.map_or(0, |proxy| proxy.upstream.port());
        let relay = RelayConfig {
            listen: layout.at(listen),
            tunnel: layout.at(self.rows.tunnel()),
            dial: layout.at(self.rows.dial()),
        };
        add(hosts::CLIENT.to_owned(), json(&relay))?;
        let programs = NodePrograms {
            postgres_bin: "/usr/lib/postgresql/15/bin".into(),
            template: None,
            mc: "/usr/local/bin/mc".into(),
        };
        for site in &layout.sites() {
            add(hosts::of(site, "node"), json(&layout.node_config(site, secrets, settings, &programs)))?;
            add(hosts::of(site, "compute"), json(&layout.compute_config(site, secrets, settings)))?;
        }
        let mut crossings = crossings(layout);
        for group in layout.groups.keys() {
            let shown = layout.proxies.iter().filter(|proxy| proxy.group == *group);
            let all =
                shown.map(|proxy| proxy.state(layout.bind, true)).chain(crossings.remove(group).unwrap_or_default());
            let states: Vec<_> = all.filter(|_| links).collect();
            add(hosts::links(group), json(&states))?;
        }
        Ok(files)
    }

    /// Writes the files, for everybody to read who can enter the folder: they are mounted into containers that know nothing
    /// of the runner's user. The run's folder above is its owner's alone.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        for (name, text) in self.files(false)? {
            fs::write(folder.join(name), text)?;
        }
        compose_files(self.layout).iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
    }
}

fn json<T: Serialize>(value: &T) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::api::{
        control::Deploy,
        environment::{EnvironmentKind, Login},
        role::{Policy, Timers},
    };

    /// The first port of a stack that is brought up by hand.
    const FIRST: u16 = 21_000;
    const SLOTS: u16 = 2;

    fn size(zones: u8, slots: u16) -> Size {
        Size { regions: REGIONS.map(|name| name.parse().unwrap()), zones, slots }
    }

    /// What a stack that is brought up by hand mounts: fixed secrets that are for nothing but trying it out.
    fn by_hand(zones: u8) -> BTreeMap<String, String> {
        let size = size(zones, SLOTS);
        let regions = size.regions.clone();
        let rows = Rows::from(FIRST, &size);
        let layout = rows.layout();
        let open = |user: &str| Login { user: user.to_owned(), secret: "for-trying-out-only".to_owned() };
        let mut secrets = secrets(&regions);
        secrets.api_token = "for-trying-out-only".to_owned();
        secrets.internal_token = "for-trying-out-only-inside".to_owned();
        secrets.auditor_sql = open("auditor");
        secrets.auditor_s3 = open("auditor");
        secrets.files_root.values_mut().for_each(|root| *root = open("auditor"));
        let (timers, policy) = (Timers::default(), Policy::default());
        let settings = Settings { timers: &timers, policy: &policy, sabotage: None };
        let mounted = Mounted { layout: &layout, rows: &rows, secrets: &secrets, settings };
        let mut files = mounted.files(true).unwrap();
        let mut control = layout.control_config(&secrets, &settings);
        control.deploy_first = vec![Deploy {
            id: "demo".parse().unwrap(),
            kind: EnvironmentKind::DataverseProduction,
            tenant: "demo".to_owned(),
            region: regions[0].clone(),
        }];
        files.insert("control.json".to_owned(), json(&control).unwrap());
        files
    }

    #[test]
    fn what_a_stack_by_hand_mounts_is_committed() {
        for (zones, name) in [(1, "fixtures/compose"), (3, "fixtures/compose-zones")] {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
            let wanted = by_hand(zones);
            if std::env::var_os("GEODRILL_WRITE_SCHEMAS").is_some() {
                fs::create_dir_all(&folder).unwrap();
                wanted.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
            }
            for (name, text) in &wanted {
                let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
                let advice = "run `GEODRILL_WRITE_SCHEMAS=1 cargo test --features compose --lib compose` and commit it";
                assert!(committed == *text, "{name}: {advice}");
            }
            assert_eq!(fs::read_dir(&folder).unwrap().count(), wanted.len(), "a file that nobody mounts");
        }
    }

    #[test]
    fn the_compose_files_own_ports_are_those_of_a_stack_by_hand() {
        for (zones, text) in [(1, COMPOSE.1.to_owned()), (3, [COMPOSE.1, COMPOSE_ZONES.1].concat())] {
            let variables = Rows::from(FIRST, &size(zones, SLOTS)).variables();
            let ports = variables.iter().filter(|(name, _)| !name.starts_with("GEODRILL_NET"));
            for (name, value) in ports {
                assert!(text.contains(&format!("${{{name}:-{value}}}")), "{name} has not the default {value}");
            }
            // And every variable of ports is one that is set, and has one default.
            for part in text.split("${GEODRILL_PORT").skip(1) {
                let (name, default) = part.split('}').next().and_then(|part| part.split_once(":-")).unwrap();
                assert_eq!(variables.get(&format!("GEODRILL_PORT{name}")).map(String::as_str), Some(default), "{name}");
            }
        }
    }

    #[test]
    fn a_stack_without_zones_has_the_ports_that_it_has_with_them() {
        let (one, three) =
            (Rows::from(FIRST, &size(1, SLOTS)).variables(), Rows::from(FIRST, &size(3, SLOTS)).variables());
        assert!(one.iter().all(|(name, value)| three.get(name) == Some(value)));
        // The second row of addresses is that of a block of ports which is surely its own.
        for slots in 1..=3 {
            assert!(size(3, slots).ports() > 100);
        }
    }

    #[test]
    fn a_zone_is_led_to_its_own_link_by_the_address_that_it_calls() {
        let layout = Rows::from(FIRST, &size(3, 1)).layout();
        let crossings = crossings(&layout);
        assert_eq!(crossings.values().map(Vec::len).sum::<usize>(), 2 * (3 * 2 + 3 * 3));
        let way = |from: &str, to: &str| layout.listen(from, to, "files").port();
        let found = |region: &Region, name: &str| {
            let of = |group: &Group| crossings[group].iter().find(|state| state.name == name).cloned();
            let state = of(&Group::Within(region.clone())).or_else(|| of(&Group::Between)).unwrap();
            (state.listen, state.upstream)
        };
        let [east, west] = &layout.regions;
        let store = |region: &Region, zone| layout.own[&Site { region: region.clone(), zone }].files.port();
        let second = store(east, crate::api::Zone(2));
        assert_eq!(
            found(east, "east-3.east-2.files.called"),
            (format!("in-east-3:{second}"), format!("127.0.0.1:{}", way("east-3", "east-2")))
        );
        let (one, other) = (found(west, "west.east-2.files.called"), found(west, "west-3.east-2.files.called"));
        assert_eq!(one.0.split_once(':').unwrap().1, other.0.split_once(':').unwrap().1, "one rule has one target");
        assert_ne!(one.1, other.1);
        assert_eq!(one.1, format!("127.0.0.1:{}", way("west", "east-2")));
    }

    #[test]
    fn no_network_holds_two_sites_and_no_address_is_given_twice() {
        // Of every network, `NETWORK: { ipv4_address: "ADDRESS" }` in either file.
        let mut taken = BTreeMap::new();
        let text = [COMPOSE.1, COMPOSE_ZONES.1].concat();
        for line in text.lines().filter(|line| line.trim_start().starts_with("networks: {")) {
            for part in line.split("ipv4_address: \"").skip(1) {
                let address = part.split('"').next().unwrap();
                *taken.entry(address.to_owned()).or_insert(0) += 1;
            }
        }
        // Those of `links-between` and the links of regions are said once in each file, and nothing else is.
        assert!(taken.len() > 50 && taken.values().all(|count| *count == 1), "{taken:?}");
    }

    #[test]
    fn the_ports_of_a_run_are_as_many_as_are_counted_and_none_is_given_twice() {
        for (zones, slots) in [(1, 1), (1, 2), (1, 5), (3, 1), (3, 4)] {
            let size = size(zones, slots);
            let rows = Rows::from(30_000, &size);
            let layout = rows.layout();
            let mut ports: Vec<u16> = layout.proxies.iter().map(|proxy| proxy.listen.port()).collect();
            ports.extend(layout.groups.values().map(Address::port));
            let given = ports.len();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), given);
            let last = 30_000 + size.ports() - 1;
            assert!(ports.iter().all(|port| (30_000..=last).contains(port)));
            // What is published as a range is one.
            for (host, row) in rows.of.iter().filter(|(host, _)| !host.starts_with("links-")) {
                assert!(row.windows(2).all(|two| two[0] + 1 == two[1]), "{host}: {row:?}");
            }
            assert!(rows.tunnel() < rows.dial() && rows.dial() <= last);
        }
    }
}
