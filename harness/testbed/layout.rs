//! What is where: the sites' services, every link with its proxies, and the roles' configurations that follow. Pure.
//!
//! A testbed says at which address each service and proxy is, asked by the name of the host that it is on where every service
//! has a host of its own ([`hosts`]). Ports are one to one: what listens on a port there is reached by the examiner, if at
//! all, on the same port of 127.0.0.1.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::{
    api::{
        Address, Region, Zone,
        environment::Login,
        role::{
            ComputeConfig, ComputeDoors, ControlConfig, DoorPorts, EdgeConfig, NodeConfig, NodeSlot, Policy, Timers,
        },
        route::{Door, DoorStore},
        sabotage::Sabotage,
    },
    clients::toxiproxy::ProxyState,
    model::link::Link,
    testbed::contract::ComputePorts,
};

/// What the roles are told besides where everything is: the same for all of them.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// The platform's timers.
    pub timers: &'a Timers,
    /// How it decides.
    pub policy: &'a Policy,
    /// The way in which it is broken on purpose, if it is.
    pub sabotage: Option<Sabotage>,
}

/// Proxies of a link between the regions' file stores: after a failure a target is online again at once under the port
/// that was not in use.
const FILE_TARGETS: usize = 2;

/// Sites beside the regions, and other folders of a run; no region may be named so.
pub(super) const OTHER_SITES: [&str; 5] = ["witness", "edge", "client", "links", "logs"];

/// What answers behind a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Postgres, or a door that leads to one.
    Postgres,
    /// Anything that speaks HTTP; the path asked for.
    Http(&'static str),
    /// A compute's port, which wants a preamble.
    Compute(DoorStore),
}

/// The Toxiproxy that a proxy lives in. A region's outage ends exactly those that touch it, and one that hangs takes no
/// other region with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Links that touch no region.
    Common,
    /// Links that touch this region alone.
    Of(Region),
    /// Links between the regions.
    Between,
}

impl Group {
    /// Its name, for logs.
    pub fn name(&self) -> &str {
        match self {
            Self::Common => "common",
            Self::Of(region) => region.as_str(),
            Self::Between => "between",
        }
    }

    /// Whether its links touch a region.
    pub fn touches(&self, region: &Region) -> bool {
        match self {
            Self::Common => false,
            Self::Of(own) => own == region,
            Self::Between => true,
        }
    }
}

/// One proxy of one link.
#[derive(Debug, Clone)]
pub(super) struct ProxyPlan {
    /// The link.
    pub link: Link,
    /// The proxy's name.
    pub name: String,
    /// Where it listens, as whoever uses the link is told.
    pub listen: Address,
    /// Where it leads to.
    pub upstream: Address,
    /// What is there.
    pub service: Service,
    /// Where it lives.
    pub group: Group,
}

impl ProxyPlan {
    /// As Toxiproxy is told.
    pub fn state(&self, bind: IpAddr, enabled: bool) -> ProxyState {
        ProxyState::new(&self.name, (bind, self.listen.port()).into(), &self.upstream, enabled)
    }
}

/// A region's own services.
#[derive(Debug, Clone)]
pub(super) struct RegionServices {
    /// MinIO.
    pub files: Address,
    pub node: Address,
    pub compute: Address,
    compute_sql: Address,
    compute_files: Address,
    /// Clusters, by slot.
    pub postgres: Vec<Address>,
}

/// Every address of a run.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The folder of the sites' folders, as the roles see it.
    pub folder: PathBuf,
    /// The regions.
    pub regions: [Region; 2],
    /// The address that services of a site listen on.
    pub bind: IpAddr,
    /// Their services.
    pub own: BTreeMap<Region, RegionServices>,
    /// All proxies.
    pub proxies: Vec<ProxyPlan>,
    /// Toxiproxies and their API.
    pub groups: BTreeMap<Group, Address>,
    pub control: Address,
    pub edge: Address,
    edge_doors: Vec<DoorPorts>,
}

/// What a node runs.
pub(super) struct NodePrograms {
    /// Folder of Postgres's programs.
    pub postgres_bin: PathBuf,
    /// A cluster to copy; without one each is made anew.
    pub template: Option<PathBuf>,
    /// MinIO's client.
    pub mc: PathBuf,
}

/// Secrets of a run, drawn at its start.
pub(super) struct Secrets {
    /// Token of the control API.
    pub api_token: String,
    /// Token among roles.
    pub internal_token: String,
    /// MinIO's root, by region.
    pub files_root: BTreeMap<Region, Login>,
    /// The auditor's Postgres role.
    pub auditor_sql: Login,
    /// The auditor's S3 key pair.
    pub auditor_s3: Login,
}

impl Secrets {
    /// Draws them.
    pub fn draw(regions: &[Region; 2]) -> Self {
        let secret = || hex::encode(rand::random::<[u8; 20]>());
        let login = |user: &str| Login { user: user.to_owned(), secret: secret() };
        Self {
            api_token: secret(),
            internal_token: secret(),
            files_root: regions.iter().map(|region| (region.clone(), login(&format!("root-{region}")))).collect(),
            auditor_sql: login("auditor"),
            auditor_s3: login("auditor"),
        }
    }
}

impl Layout {
    /// How many addresses a run of so many slots needs on each host.
    pub fn needed(regions: &[Region; 2], slots: u16) -> BTreeMap<String, u16> {
        let mut counts = BTreeMap::new();
        Self::new(Path::new("/"), IpAddr::from([0; 4]), regions, slots, &mut |host| {
            *counts.entry(host.to_owned()).or_default() += 1;
            0.into()
        });
        counts
    }

    /// Gives every service and proxy an address from `draw`.
    pub fn new(
        folder: &Path,
        bind: IpAddr,
        regions: &[Region; 2],
        slots: u16,
        draw: &mut impl FnMut(&str) -> Address,
    ) -> Self {
        let own = regions.iter().map(|region| (region.clone(), RegionServices::draw(region, slots, draw))).collect();
        let edge_doors = (0..slots)
            .map(|_| {
                let mut door = || draw(hosts::EDGE).port();
                DoorPorts { sql_rw: door(), sql_ro: door(), files_rw: door(), files_ro: door() }
            })
            .collect();
        let mut layout = Self {
            folder: folder.to_owned(),
            bind,
            regions: regions.clone(),
            own,
            proxies: Vec::new(),
            groups: BTreeMap::new(),
            control: draw(hosts::CONTROL),
            edge: draw(hosts::EDGE),
            edge_doors,
        };
        for group in [Group::Common, Group::Between, Group::Of(regions[0].clone()), Group::Of(regions[1].clone())] {
            let api = draw(&hosts::links(&group));
            layout.groups.insert(group, api);
        }
        layout.link_the_rest(draw);
        let [one, other] = regions.clone();
        layout.link_region(&one, &other, draw);
        layout.link_region(&other, &one, draw);
        layout
    }

    fn link_the_rest(&mut self, draw: &mut impl FnMut(&str) -> Address) {
        const HTTP: Service = Service::Http("/internal/ready");
        for (slot, doors) in self.edge_doors.clone().into_iter().enumerate() {
            for (store, door, port) in [
                (DoorStore::Sql, Door::Rw, doors.sql_rw),
                (DoorStore::Sql, Door::Ro, doors.sql_ro),
                (DoorStore::Files, Door::Rw, doors.files_rw),
                (DoorStore::Files, Door::Ro, doors.files_ro),
            ] {
                let service = match store {
                    DoorStore::Sql => Service::Postgres,
                    DoorStore::Files => Service::Http("/minio/health/live"),
                };
                let suffix = format!("{slot}.{}", if door == Door::Rw { "rw" } else { "ro" });
                let upstream = Address::new(self.edge.host(), port);
                self.add(("client", "edge", store_name(store)), Some(suffix), upstream, service, draw);
            }
        }
        let (control, edge) = (self.control.clone(), self.edge.clone());
        self.add(("client", "witness", "control"), None, control.clone(), HTTP, draw);
        // Nobody listens there until the examiner says where its receiver is.
        let receiver = draw(hosts::CLIENT);
        self.add(("witness", "client", "notices"), None, receiver, Service::Http("/"), draw);
        self.add(("witness", "edge", "routes"), None, edge, HTTP, draw);
        self.add(("edge", "witness", "control"), None, control, HTTP, draw);
    }

    fn link_region(&mut self, region: &Region, peer: &Region, draw: &mut impl FnMut(&str) -> Address) {
        const HTTP: Service = Service::Http("/internal/ready");
        const STORE: Service = Service::Http("/minio/health/live");
        let (Some(own), Some(other)) = (self.own.get(region).cloned(), self.own.get(peer).cloned()) else { return };
        let (r, p) = (region.as_str(), peer.as_str());
        self.add(("edge", r, "sql"), None, own.compute_sql, Service::Compute(DoorStore::Sql), draw);
        self.add(("edge", r, "files"), None, own.compute_files, Service::Compute(DoorStore::Files), draw);
        self.add((r, r, "files"), None, own.files.clone(), STORE, draw);
        self.add((r, r, "node"), None, own.node.clone(), HTTP, draw);
        for (slot, postgres) in own.postgres.iter().enumerate() {
            self.add((r, r, "sql"), Some(slot.to_string()), postgres.clone(), Service::Postgres, draw);
            // Named by the direction of the data: the peer's node connects here to our Postgres.
            self.add((r, p, "sql"), Some(slot.to_string()), postgres.clone(), Service::Postgres, draw);
        }
        for number in 0..FILE_TARGETS {
            self.add((r, p, "files"), Some(number.to_string()), other.files.clone(), STORE, draw);
        }
        self.add((r, p, "node"), None, other.node, HTTP, draw);
        self.add((r, "witness", "control"), None, self.control.clone(), HTTP, draw);
        self.add(("witness", r, "node"), None, own.node, HTTP, draw);
        self.add(("witness", r, "compute"), None, own.compute, HTTP, draw);
    }

    fn add(
        &mut self,
        (from, to, carried): (&str, &str, &str),
        suffix: Option<String>,
        upstream: Address,
        service: Service,
        draw: &mut impl FnMut(&str) -> Address,
    ) {
        let link = Link::new(from, to, carried);
        let name = suffix.map_or_else(|| link.proxy(), |suffix| format!("{}.{suffix}", link.proxy()));
        let touched: Vec<&Region> = self.regions.iter().filter(|region| link.touches(region.as_str())).collect();
        let group = match touched[..] {
            [] => Group::Common,
            [one] => Group::Of(one.clone()),
            _ => Group::Between,
        };
        let listen = draw(&hosts::links(&group));
        self.proxies.push(ProxyPlan { link, name, listen, upstream, service, group });
    }

    /// Every link, once.
    pub fn links(&self) -> Vec<Link> {
        let mut links: Vec<Link> = self.proxies.iter().map(|proxy| proxy.link.clone()).collect();
        links.sort();
        links.dedup();
        links
    }

    /// Where a link's proxies listen, in the order of slots.
    pub fn listens(&self, from: &str, to: &str, carried: &str) -> Vec<Address> {
        let link = Link::new(from, to, carried);
        self.proxies.iter().filter(|proxy| proxy.link == link).map(|proxy| proxy.listen.clone()).collect()
    }

    /// Where the proxy of a link that has one listens.
    pub fn listen(&self, from: &str, to: &str, carried: &str) -> Address {
        self.listens(from, to, carried).into_iter().next().unwrap_or_else(|| 0.into())
    }

    /// The address that a service listens on with this port.
    #[cfg(feature = "compose")]
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.bind, port).into()
    }

    /// Where a service with this address listens.
    fn bound(&self, address: &Address) -> SocketAddr {
        (self.bind, address.port()).into()
    }

    /// Where a region's compute takes traffic.
    pub fn computes(&self, region: &Region) -> Option<ComputePorts> {
        let own = self.own.get(region)?;
        Some(ComputePorts { sql: own.compute_sql.port(), files: own.compute_files.port() })
    }

    /// The region that is not this one.
    pub fn peer(&self, region: &Region) -> &Region {
        if *region == self.regions[0] { &self.regions[1] } else { &self.regions[0] }
    }

    /// A site's folder.
    pub fn site(&self, site: &str) -> PathBuf {
        self.folder.join(site)
    }

    /// What control is told.
    pub fn control_config(&self, secrets: &Secrets, settings: &Settings<'_>) -> ControlConfig {
        let sql = self.listens("client", "edge", "sql");
        let files = self.listens("client", "edge", "files");
        let doors = sql.chunks_exact(2).zip(files.chunks_exact(2));
        ControlConfig {
            listen: self.bound(&self.control),
            data: self.site("witness").join("data"),
            api_token: secrets.api_token.clone(),
            internal_token: secrets.internal_token.clone(),
            nodes: self.by_region(|region| vec![self.listen("witness", region, "node")]),
            computes: self.by_region(|region| vec![self.listen("witness", region, "compute")]),
            edge: self.listen("witness", "edge", "routes"),
            doors: doors
                .map(|(sql, files)| DoorPorts {
                    sql_rw: sql[0].port(),
                    sql_ro: sql[1].port(),
                    files_rw: files[0].port(),
                    files_ro: files[1].port(),
                })
                .collect(),
            webhook_hosts: [self.listen("witness", "client", "notices").host().to_owned()].into(),
            deploy_first: Vec::new(),
            timers: settings.timers.clone(),
            policy: settings.policy.clone(),
            sabotage: settings.sabotage,
        }
    }

    /// What the edge is told.
    pub fn edge_config(&self, secrets: &Secrets, settings: &Settings<'_>) -> EdgeConfig {
        EdgeConfig {
            listen: self.bound(&self.edge),
            data: self.site("edge").join("data"),
            internal_token: secrets.internal_token.clone(),
            doors: self.edge_doors.clone(),
            computes: self.by_region(|region| {
                vec![ComputeDoors {
                    sql: self.listen("edge", region, "sql"),
                    files: self.listen("edge", region, "files"),
                }]
            }),
            control: self.listen("edge", "witness", "control"),
            timers: settings.timers.clone(),
            sabotage: settings.sabotage,
        }
    }

    /// What a region's node is told; `None` for a region that is not ours.
    pub fn node_config(
        &self,
        region: &Region,
        secrets: &Secrets,
        settings: &Settings<'_>,
        programs: &NodePrograms,
    ) -> Option<NodeConfig> {
        let (own, peer) = (self.own.get(region)?, self.peer(region));
        let (r, p) = (region.as_str(), peer.as_str());
        let sources = self.listens(p, r, "sql");
        Some(NodeConfig {
            region: region.clone(),
            zone: Zone::FIRST,
            peer: peer.clone(),
            listen: self.bound(&own.node),
            data: self.site(r).join("n"),
            site: self.site(r),
            internal_token: secrets.internal_token.clone(),
            postgres_bin: programs.postgres_bin.clone(),
            template: programs.template.clone(),
            mc: programs.mc.clone(),
            files: self.listen(r, r, "files"),
            files_root: secrets.files_root.get(region)?.clone(),
            files_targets: self.listens(r, p, "files"),
            slots: own
                .postgres
                .iter()
                .zip(sources)
                .map(|(postgres, source)| NodeSlot {
                    postgres: postgres.port(),
                    sources: [(region.clone(), vec![postgres.clone()]), (peer.clone(), vec![source])].into(),
                })
                .collect(),
            control: self.listen(r, "witness", "control"),
            peer_nodes: self.listens(r, p, "node"),
            auditor: secrets.auditor_sql.clone(),
            timers: settings.timers.clone(),
            sabotage: settings.sabotage,
        })
    }

    /// What a region's compute is told; `None` for a region that is not ours.
    pub fn compute_config(&self, region: &Region, secrets: &Secrets, settings: &Settings<'_>) -> Option<ComputeConfig> {
        let (own, r) = (self.own.get(region)?, region.as_str());
        Some(ComputeConfig {
            region: region.clone(),
            zone: Zone::FIRST,
            listen: self.bound(&own.compute),
            listen_sql: self.bound(&own.compute_sql),
            listen_files: self.bound(&own.compute_files),
            data: self.site(r).join("c"),
            internal_token: secrets.internal_token.clone(),
            sql: self.listens(r, r, "sql"),
            files: self.listen(r, r, "files"),
            node: self.listen(r, r, "node"),
            control: self.listen(r, "witness", "control"),
            peer_nodes: self.listens(r, self.peer(region).as_str(), "node"),
            timers: settings.timers.clone(),
            sabotage: settings.sabotage,
        })
    }

    fn by_region<T>(&self, value: impl Fn(&str) -> T) -> BTreeMap<Region, T> {
        self.regions.iter().map(|region| (region.clone(), value(region.as_str()))).collect()
    }
}

impl RegionServices {
    fn draw(region: &Region, slots: u16, draw: &mut impl FnMut(&str) -> Address) -> Self {
        let (node, compute) = (hosts::of(region, "node"), hosts::of(region, "compute"));
        Self {
            files: draw(&hosts::of(region, "files")),
            node: draw(&node),
            compute: draw(&compute),
            compute_sql: draw(&compute),
            compute_files: draw(&compute),
            postgres: (0..slots).map(|_| draw(&node)).collect(),
        }
    }
}

/// The hosts, where every service has one. A region's clusters are on its node's.
pub(super) mod hosts {
    use super::{Group, Region};

    /// The control plane's.
    pub const CONTROL: &str = "control";
    /// The edge's.
    pub const EDGE: &str = "edge";
    /// Where notices are received.
    pub const CLIENT: &str = "client";

    /// One of a region's: `files`, `node`, `compute`.
    pub fn of(region: &Region, service: &str) -> String {
        format!("{region}-{service}")
    }

    /// A Toxiproxy's.
    pub fn links(group: &Group) -> String {
        format!("links-{}", group.name())
    }
}

fn store_name(store: DoorStore) -> &'static str {
    match store {
        DoorStore::Sql => "sql",
        DoorStore::Files => "files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn layout(slots: u16) -> Layout {
        let regions = ["east", "west"].map(|name| name.parse().unwrap());
        let mut next = 100;
        Layout::new(Path::new("/run"), Ipv4Addr::LOCALHOST.into(), &regions, slots, &mut |_| {
            next += 1;
            next.into()
        })
    }

    #[test]
    fn the_links_are_those_of_the_documents() {
        let mut wanted: Vec<String> = [
            "client -> edge / sql",
            "client -> edge / files",
            "client -> witness / control",
            "witness -> client / notices",
            "witness -> edge / routes",
            "edge -> witness / control",
        ]
        .map(str::to_owned)
        .to_vec();
        for (r, o) in [("east", "west"), ("west", "east")] {
            for text in [
                format!("edge -> {r} / sql"),
                format!("edge -> {r} / files"),
                format!("{r} -> {r} / sql"),
                format!("{r} -> {r} / files"),
                format!("{r} -> {r} / node"),
                format!("{r} -> {o} / sql"),
                format!("{r} -> {o} / files"),
                format!("{r} -> {o} / node"),
                format!("{r} -> witness / control"),
                format!("witness -> {r} / node"),
                format!("witness -> {r} / compute"),
            ] {
                wanted.push(text);
            }
        }
        wanted.sort();
        let mut found: Vec<String> = layout(2).links().iter().map(ToString::to_string).collect();
        found.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn no_port_is_given_twice_and_the_count_is_known_beforehand() {
        for slots in [1, 4] {
            let layout = layout(slots);
            let mut ports: Vec<u16> = layout.proxies.iter().map(|proxy| proxy.listen.port()).collect();
            ports.extend(layout.groups.values().map(Address::port));
            for own in layout.own.values() {
                let services = [&own.files, &own.node, &own.compute, &own.compute_sql, &own.compute_files];
                ports.extend(services.into_iter().chain(&own.postgres).map(Address::port));
            }
            for doors in &layout.edge_doors {
                ports.extend([doors.sql_rw, doors.sql_ro, doors.files_rw, doors.files_ro]);
            }
            ports.extend([layout.control.port(), layout.edge.port()]);
            let given = ports.len() + 1; // and the one where nobody listens for notices
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len() + 1, given);
            assert_eq!(
                Layout::needed(&layout.regions, slots).values().map(|count| usize::from(*count)).sum::<usize>(),
                given
            );
        }
    }

    #[test]
    fn replication_is_named_by_the_direction_of_the_data() {
        let layout = layout(2);
        let named = |name: &str| layout.proxies.iter().find(|proxy| proxy.name == name).unwrap();
        let [east, west] = layout.regions.clone();
        // East's Postgres is behind `east -> west / sql`, and west's node connects to it.
        assert_eq!(named("east.west.sql.1").upstream, layout.own[&east].postgres[1]);
        // West's MinIO is behind `east -> west / files`, and east's MinIO connects to it.
        assert_eq!(named("east.west.files.0").upstream, layout.own[&west].files);
        let programs = NodePrograms { postgres_bin: PathBuf::new(), template: None, mc: PathBuf::new() };
        let secrets = Secrets::draw(&layout.regions);
        let (timers, policy) = (Timers::default(), Policy::default());
        let settings = Settings { timers: &timers, policy: &policy, sabotage: None };
        let node = layout.node_config(&west, &secrets, &settings, &programs).unwrap();
        assert_eq!(node.slots[1].sources[&east], [named("east.west.sql.1").listen.clone()]);
        assert_eq!(
            node.files_targets,
            [named("west.east.files.0").listen.clone(), named("west.east.files.1").listen.clone()]
        );
        let control = layout.control_config(&secrets, &settings);
        assert_eq!(control.doors[1].files_ro, named("client.edge.files.1.ro").listen.port());
        assert_eq!(control.doors[0].sql_rw, named("client.edge.sql.0.rw").listen.port());
    }

    #[test]
    fn a_proxy_lives_with_the_regions_it_touches() {
        let layout = layout(1);
        for proxy in &layout.proxies {
            for region in &layout.regions {
                assert_eq!(
                    proxy.group.touches(region),
                    match &proxy.group {
                        Group::Common => false,
                        Group::Between => true,
                        Group::Of(own) => own == region,
                    }
                );
                assert_eq!(proxy.group.touches(region), proxy.link.touches(region.as_str()), "{}", proxy.name);
            }
        }
    }
}
