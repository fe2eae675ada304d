//! What is where: the sites' services, every link with its proxies, and the roles' configurations that follow. Pure.
//!
//! A testbed says at which address each service and proxy is, asked by the name of the host that it is on where every service
//! has a host of its own ([`hosts`]). Ports are one to one: what listens on a port there is reached by the examiner, if at
//! all, on the same port of 127.0.0.1.
//!
//! A region is one site, or a site for each of its zones, whose stores are one. All nodes of a store must name each of them alike, and
//! one replication target is all nodes' ([`Shared`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
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
    testbed::contract::{ComputePorts, TestbedError},
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

/// Ways from a region's store to the other's: after a failure a target is online again at once under the port that was not in
/// use. Between undivided regions they are proxies of one link; else there is one to each zone's store.
const FILE_TARGETS: usize = 2;

/// Drives of a zone's store: of six in all, any four can be written to, so one zone may be lost.
const DRIVES: usize = 2;

/// Where the nodes of a store call one another on one machine, at their own ports: MinIO takes for its own what bears its port
/// and is an address of this machine's, which all of 127.0.0.0/8 are, though it listens on 127.0.0.1 alone.
const STORE_ALIAS: &str = "127.0.0.2";

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

/// A zone of a region, where it has its own services: what is lost together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    pub region: Region,
    pub zone: Zone,
}

impl Site {
    /// The only site of a region that is not divided.
    pub fn whole(region: &Region) -> Self {
        Self { region: region.clone(), zone: Zone::FIRST }
    }

    /// All of a region.
    pub fn of(region: &Region, zones: u8) -> Vec<Self> {
        Zone::all(zones).map(|zone| Self { region: region.clone(), zone }).collect()
    }

    /// Its name, in links and processes, and its folder's.
    pub fn name(&self) -> String {
        self.zone.site(&self.region)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// The Toxiproxy that a proxy lives in. The loss of a site ends those that carry nothing else, and one that hangs takes no
/// other site with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Links that touch no site of a region's.
    Common,
    /// Links that touch this site alone.
    Of(Site),
    /// Links between the zones of a region.
    Within(Region),
    /// Links between the regions.
    Between,
}

impl Group {
    /// Its name, for logs.
    pub fn name(&self) -> String {
        match self {
            Self::Common => "common".to_owned(),
            Self::Of(site) => site.name(),
            Self::Within(region) => format!("within-{region}"),
            Self::Between => "between".to_owned(),
        }
    }

    /// Whether each of its links is cut where these sites are, of regions with so many zones.
    pub fn is_lost(&self, cut: &BTreeSet<Site>, zones: u8) -> bool {
        let whole = |region: &Region| Site::of(region, zones).iter().all(|site| cut.contains(site));
        match self {
            Self::Common => false,
            Self::Of(site) => cut.contains(site),
            Self::Within(region) => whole(region),
            Self::Between => cut.iter().any(|site| whole(&site.region)),
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
        ProxyState::new(&self.name, SocketAddr::new(bind, self.listen.port()), &self.upstream, enabled)
    }
}

/// An address that all sites of a region call alike; each of them has a link of its own to what is there.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// Whose sites call.
    pub callers: Region,
    /// Whose store they want.
    pub to: Site,
    /// Where they call.
    pub listen: Address,
    /// The proxy of each one's link.
    pub ways: BTreeMap<Site, Address>,
}

impl Shared {
    /// Where the links live that it leads to.
    #[cfg(feature = "compose")]
    pub fn group(&self) -> Group {
        if self.to.region == self.callers { Group::Within(self.callers.clone()) } else { Group::Between }
    }
}

/// A site's own services.
#[derive(Debug, Clone)]
pub(super) struct SiteServices {
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
    /// Zones of each.
    pub zones: u8,
    /// The address that services of a site listen on.
    pub bind: IpAddr,
    /// Their services.
    pub own: BTreeMap<Site, SiteServices>,
    /// All proxies.
    pub proxies: Vec<ProxyPlan>,
    /// What sites call alike; nothing where regions are not divided.
    pub shared: Vec<Shared>,
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
    /// How many addresses a run of so many zones and slots needs on each host.
    pub fn needed(regions: &[Region; 2], zones: u8, slots: u16) -> BTreeMap<String, u16> {
        let mut counts = BTreeMap::new();
        Self::new(Path::new("/"), IpAddr::from([0; 4]), regions, zones, slots, &mut |host| {
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
        zones: u8,
        slots: u16,
        draw: &mut impl FnMut(&str) -> Address,
    ) -> Self {
        let sites: Vec<Site> = regions.iter().flat_map(|region| Site::of(region, zones)).collect();
        let own = sites.iter().map(|site| (site.clone(), SiteServices::draw(site, slots, draw))).collect();
        let edge_doors = (0..slots)
            .map(|_| {
                let mut door = || draw(hosts::EDGE).port();
                DoorPorts { sql_rw: door(), sql_ro: door(), files_rw: door(), files_ro: door() }
            })
            .collect();
        let mut layout = Self {
            folder: folder.to_owned(),
            regions: regions.clone(),
            zones,
            bind,
            own,
            proxies: Vec::new(),
            shared: Vec::new(),
            groups: BTreeMap::new(),
            control: draw(hosts::CONTROL),
            edge: draw(hosts::EDGE),
            edge_doors,
        };
        let within = regions.iter().filter(|_| zones > 1).cloned().map(Group::Within);
        let groups =
            [Group::Common, Group::Between].into_iter().chain(sites.iter().cloned().map(Group::Of)).chain(within);
        for group in groups {
            let api = draw(&hosts::links(&group));
            layout.groups.insert(group, api);
        }
        layout.link_the_rest(draw);
        for site in &sites {
            layout.link_site(site, &sites, draw);
        }
        if zones > 1 {
            layout.share_stores(&sites, draw);
        }
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

    fn link_site(&mut self, site: &Site, all: &[Site], draw: &mut impl FnMut(&str) -> Address) {
        const HTTP: Service = Service::Http("/internal/ready");
        const STORE: Service = Service::Http("/minio/health/live");
        let Some(own) = self.own.get(site).cloned() else { return };
        let name = site.name();
        let s = name.as_str();
        self.add(("edge", s, "sql"), None, own.compute_sql, Service::Compute(DoorStore::Sql), draw);
        self.add(("edge", s, "files"), None, own.compute_files, Service::Compute(DoorStore::Files), draw);
        self.add((s, s, "files"), None, own.files.clone(), STORE, draw);
        self.add((s, s, "node"), None, own.node.clone(), HTTP, draw);
        let others: Vec<&Site> = all.iter().filter(|other| *other != site).collect();
        for (slot, postgres) in own.postgres.iter().enumerate() {
            self.add((s, s, "sql"), Some(slot.to_string()), postgres.clone(), Service::Postgres, draw);
            for other in &others {
                // Named by the direction of the data: the other's node connects here to our Postgres.
                let o = other.name();
                self.add((s, &o, "sql"), Some(slot.to_string()), postgres.clone(), Service::Postgres, draw);
            }
        }
        for other in others {
            let Some(there) = self.own.get(other).cloned() else { continue };
            let name = other.name();
            let o = name.as_str();
            if other.region == site.region {
                self.add((s, o, "files"), None, there.files, STORE, draw);
                continue;
            }
            for number in 0..FILE_TARGETS.div_ceil(usize::from(self.zones)) {
                self.add((s, o, "files"), Some(number.to_string()), there.files.clone(), STORE, draw);
            }
            self.add((s, o, "node"), None, there.node, HTTP, draw);
        }
        self.add((s, "witness", "control"), None, self.control.clone(), HTTP, draw);
        self.add(("witness", s, "node"), None, own.node, HTTP, draw);
        self.add(("witness", s, "compute"), None, own.compute, HTTP, draw);
    }

    /// Where the zones of each region call the stores of both: their own alike as nodes of one store, the other's as targets of
    /// one rule.
    fn share_stores(&mut self, all: &[Site], draw: &mut impl FnMut(&str) -> Address) {
        for callers in self.regions.clone() {
            for to in all {
                let of_region = Site::of(&callers, self.zones).into_iter().filter(|site| site != to);
                let ways =
                    of_region.map(|site| (site.clone(), self.listen(&site.name(), &to.name(), "files"))).collect();
                let listen = match self.own.get(to) {
                    Some(own) if to.region == callers => called_alike(&own.files),
                    _ => draw(&hosts::links(&Group::Between)),
                };
                self.shared.push(Shared { callers: callers.clone(), to: to.clone(), listen, ways });
            }
        }
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
        let touched: Vec<&Site> = self.own.keys().filter(|site| link.touches(&site.name())).collect();
        let group = match touched[..] {
            [] => Group::Common,
            [one] => Group::Of(one.clone()),
            [one, other, ..] if one.region == other.region => Group::Within(one.region.clone()),
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

    /// The sites of a region of ours.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`]: there is none of this name.
    pub fn sites_of(&self, region: &Region) -> Result<Vec<Site>, TestbedError> {
        if self.regions.contains(region) {
            return Ok(Site::of(region, self.zones));
        }
        Err(TestbedError::Unusable(format!("there is no region {region}")))
    }

    /// The site of a zone of ours.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`]: there is none of this name, or number.
    pub fn site_of(&self, region: &Region, zone: Zone) -> Result<Site, TestbedError> {
        let found = self.sites_of(region)?.into_iter().find(|site| site.zone == zone);
        found.ok_or_else(|| TestbedError::Unusable(format!("there is no zone {zone} in {region}")))
    }

    /// Every region's sites.
    pub fn sites(&self) -> Vec<Site> {
        self.regions.iter().flat_map(|region| Site::of(region, self.zones)).collect()
    }

    /// The drives of the store of which a site has a node, as each of its nodes is told, and where the site's own is called;
    /// `None` where a region's one store has one folder.
    pub fn drives(&self, site: &Site) -> Option<(Vec<String>, Address)> {
        let is_node = |shared: &&Shared| shared.callers == site.region && shared.to.region == site.region;
        let nodes: Vec<&Shared> = self.shared.iter().filter(is_node).collect();
        let own = nodes.iter().find(|node| node.to == *site)?.listen.clone();
        let drives = |node: &&Shared| {
            let url = format!("http://{}{}", node.listen, self.site(&node.to.name()).join("files").display());
            (1..=DRIVES).map(move |drive| format!("{url}/{drive}"))
        };
        Some((nodes.iter().flat_map(drives).collect(), own))
    }

    /// Where a site's store and node find the other region's stores.
    fn files_targets(&self, site: &Site) -> Vec<Address> {
        let peer = self.peer(&site.region);
        if self.zones == 1 {
            return self.listens(&site.name(), peer.as_str(), "files");
        }
        let targets = self.shared.iter().filter(|shared| shared.callers == site.region && shared.to.region == *peer);
        targets.map(|shared| shared.listen.clone()).collect()
    }

    /// Where a site finds the nodes of the other region's zones.
    fn peer_nodes(&self, site: &Site) -> Vec<Address> {
        let peers = Site::of(self.peer(&site.region), self.zones);
        peers.iter().map(|peer| self.listen(&site.name(), &peer.name(), "node")).collect()
    }

    /// Where a site's compute takes traffic.
    pub fn computes(&self, site: &Site) -> Option<ComputePorts> {
        let own = self.own.get(site)?;
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
            nodes: self.by_zone(|site| self.listen("witness", site, "node")),
            computes: self.by_zone(|site| self.listen("witness", site, "compute")),
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
            computes: self.by_zone(|site| ComputeDoors {
                sql: self.listen("edge", site, "sql"),
                files: self.listen("edge", site, "files"),
            }),
            control: self.listen("edge", "witness", "control"),
            timers: settings.timers.clone(),
            sabotage: settings.sabotage,
        }
    }

    /// What a site's node is told; `None` for a site that is not ours.
    pub fn node_config(
        &self,
        site: &Site,
        secrets: &Secrets,
        settings: &Settings<'_>,
        programs: &NodePrograms,
    ) -> Option<NodeConfig> {
        let (own, name) = (self.own.get(site)?, site.name());
        let s = name.as_str();
        let slots = own.postgres.iter().enumerate();
        Some(NodeConfig {
            region: site.region.clone(),
            zone: site.zone,
            peer: self.peer(&site.region).clone(),
            listen: self.bound(&own.node),
            data: self.site(s).join("n"),
            site: self.site(s),
            internal_token: secrets.internal_token.clone(),
            postgres_bin: programs.postgres_bin.clone(),
            template: programs.template.clone(),
            mc: programs.mc.clone(),
            files: self.listen(s, s, "files"),
            files_root: secrets.files_root.get(&site.region)?.clone(),
            files_targets: self.files_targets(site),
            slots: slots
                .map(|(slot, postgres)| NodeSlot {
                    postgres: postgres.port(),
                    sources: self.by_zone(|source| match source == s {
                        true => postgres.clone(),
                        false => self.listens(source, s, "sql").into_iter().nth(slot).unwrap_or_else(|| 0.into()),
                    }),
                })
                .collect(),
            control: self.listen(s, "witness", "control"),
            peer_nodes: self.peer_nodes(site),
            auditor: secrets.auditor_sql.clone(),
            timers: settings.timers.clone(),
            sabotage: settings.sabotage,
        })
    }

    /// What a site's compute is told; `None` for a site that is not ours.
    pub fn compute_config(&self, site: &Site, secrets: &Secrets, settings: &Settings<'_>) -> Option<ComputeConfig> {
        let (own, name) = (self.own.get(site)?, site.name());
        let s = name.as_str();
        Some(ComputeConfig {
            region: site.region.clone(),
            zone: site.zone,
            listen: self.bound(&own.compute),
            listen_sql: self.bound(&own.compute_sql),
            listen_files: self.bound(&own.compute_files),
            data: self.site(s).join("c"),
            internal_token: secrets.internal_token.clone(),
            sql: self.listens(s, s, "sql"),
            files: self.listen(s, s, "files"),
            node: self.listen(s, s, "node"),
            control: self.listen(s, "witness", "control"),
            peer_nodes: self.peer_nodes(site),
            timers: settings.timers.clone(),
            sabotage: settings.sabotage,
        })
    }

    /// Of every region, a value for each of its zones in turn.
    fn by_zone<T>(&self, value: impl Fn(&str) -> T) -> BTreeMap<Region, Vec<T>> {
        let of = |region: &Region| Site::of(region, self.zones).iter().map(|site| value(&site.name())).collect();
        self.regions.iter().map(|region| (region.clone(), of(region))).collect()
    }
}

impl SiteServices {
    fn draw(site: &Site, slots: u16, draw: &mut impl FnMut(&str) -> Address) -> Self {
        let (node, compute) = (hosts::of(site, "node"), hosts::of(site, "compute"));
        Self {
            files: draw(&hosts::of(site, "files")),
            node: draw(&node),
            compute: draw(&compute),
            compute_sql: draw(&compute),
            compute_files: draw(&compute),
            postgres: (0..slots).map(|_| draw(&node)).collect(),
        }
    }
}

/// The hosts, where every service has one. A site's clusters are on its node's.
pub(super) mod hosts {
    use std::fmt::Display;

    use super::Group;

    /// The control plane's.
    pub const CONTROL: &str = "control";
    /// The edge's.
    pub const EDGE: &str = "edge";
    /// Where notices are received.
    pub const CLIENT: &str = "client";

    /// One of a site's: `files`, `node`, `compute`.
    pub fn of(site: impl Display, service: &str) -> String {
        format!("{site}-{service}")
    }

    /// A Toxiproxy's.
    pub fn links(group: &Group) -> String {
        format!("links-{}", group.name())
    }
}

/// Where the nodes of a store call the one at this address: a host's name can mean on each of them what it is to mean there.
fn called_alike(files: &Address) -> Address {
    let is_one_machine = *files == Address::from(files.port());
    if is_one_machine { Address::new(STORE_ALIAS, files.port()) } else { files.clone() }
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

    fn layout(zones: u8, slots: u16) -> Layout {
        let regions = ["east", "west"].map(|name| name.parse().unwrap());
        let mut next = 100;
        Layout::new(Path::new("/run"), Ipv4Addr::LOCALHOST.into(), &regions, zones, slots, &mut |_| {
            next += 1;
            next.into()
        })
    }

    const REST: [&str; 6] = [
        "client -> edge / sql",
        "client -> edge / files",
        "client -> witness / control",
        "witness -> client / notices",
        "witness -> edge / routes",
        "edge -> witness / control",
    ];

    fn check_links(zones: u8, mut wanted: Vec<String>) {
        wanted.extend(REST.map(str::to_owned));
        wanted.sort();
        let mut found: Vec<String> = layout(zones, 2).links().iter().map(ToString::to_string).collect();
        found.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_links_are_those_of_the_documents() {
        let of_region = |r: &str, o: &str| {
            [
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
            ]
        };
        check_links(1, [of_region("east", "west"), of_region("west", "east")].concat());
    }

    #[test]
    fn every_zone_has_the_links_of_a_site_and_some_with_each_other_zone() {
        let zones = [["east", "east-2", "east-3"], ["west", "west-2", "west-3"]];
        let mut wanted = Vec::new();
        for (own, others) in [(zones[0], zones[1]), (zones[1], zones[0])] {
            for s in own {
                wanted.extend(["sql", "files"].map(|service| format!("edge -> {s} / {service}")));
                wanted.extend(["sql", "files", "node"].map(|service| format!("{s} -> {s} / {service}")));
                wanted.extend(["node", "compute"].map(|service| format!("witness -> {s} / {service}")));
                wanted.push(format!("{s} -> witness / control"));
                for sibling in own.into_iter().filter(|sibling| *sibling != s) {
                    wanted.extend(["sql", "files"].map(|service| format!("{s} -> {sibling} / {service}")));
                }
                for other in others {
                    wanted.extend(["sql", "files", "node"].map(|service| format!("{s} -> {other} / {service}")));
                }
            }
        }
        check_links(3, wanted);
    }

    #[test]
    fn no_port_is_given_twice_and_the_count_is_known_beforehand() {
        for (zones, slots) in [(1, 1), (1, 4), (3, 1), (3, 4)] {
            let layout = layout(zones, slots);
            let mut ports: Vec<u16> = layout.proxies.iter().map(|proxy| proxy.listen.port()).collect();
            ports.extend(layout.groups.values().map(Address::port));
            let shared = layout.shared.iter().filter(|shared| shared.callers != shared.to.region);
            ports.extend(shared.map(|shared| shared.listen.port()));
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
            let needed = Layout::needed(&layout.regions, zones, slots);
            assert_eq!(needed.values().map(|count| usize::from(*count)).sum::<usize>(), given);
        }
    }

    fn told(layout: &Layout, site: &Site) -> (NodeConfig, ControlConfig) {
        let programs = NodePrograms { postgres_bin: PathBuf::new(), template: None, mc: PathBuf::new() };
        let secrets = Secrets::draw(&layout.regions);
        let (timers, policy) = (Timers::default(), Policy::default());
        let settings = Settings { timers: &timers, policy: &policy, sabotage: None };
        let node = layout.node_config(site, &secrets, &settings, &programs).unwrap();
        (node, layout.control_config(&secrets, &settings))
    }

    #[test]
    fn replication_is_named_by_the_direction_of_the_data() {
        let layout = layout(1, 2);
        let named = |name: &str| layout.proxies.iter().find(|proxy| proxy.name == name).unwrap();
        let [east, west] = layout.regions.clone().map(|region| Site::whole(&region));
        // East's Postgres is behind `east -> west / sql`, and west's node connects to it.
        assert_eq!(named("east.west.sql.1").upstream, layout.own[&east].postgres[1]);
        // West's MinIO is behind `east -> west / files`, and east's MinIO connects to it.
        assert_eq!(named("east.west.files.0").upstream, layout.own[&west].files);
        let (node, control) = told(&layout, &west);
        let own = layout.own[&west].postgres[1].clone();
        let from_east = named("east.west.sql.1").listen.clone();
        let sources = [(east.region, vec![from_east]), (west.region, vec![own])];
        assert_eq!(node.slots[1].sources, sources.into());
        assert_eq!(
            node.files_targets,
            [named("west.east.files.0").listen.clone(), named("west.east.files.1").listen.clone()]
        );
        assert_eq!(control.doors[1].files_ro, named("client.edge.files.1.ro").listen.port());
        assert_eq!(control.doors[0].sql_rw, named("client.edge.sql.0.rw").listen.port());
    }

    #[test]
    fn a_zone_is_told_its_own_ways_to_every_other() {
        let layout = layout(3, 2);
        let named = |name: &str| layout.proxies.iter().find(|proxy| proxy.name == name).unwrap().listen.clone();
        let [east, west] = layout.regions.clone();
        let third = Site { region: east.clone(), zone: Zone(3) };
        let (node, control) = told(&layout, &third);
        let own = layout.own[&third].postgres[1].clone();
        assert_eq!(node.zone, Zone(3));
        assert_eq!(node.slots[1].sources[&east], [named("east.east-3.sql.1"), named("east-2.east-3.sql.1"), own]);
        assert_eq!(node.slots[1].sources[&west][1], named("west-2.east-3.sql.1"));
        let nodes = ["west", "west-2", "west-3"].map(|to| named(&format!("east-3.{to}.node")));
        assert_eq!(node.peer_nodes, nodes);
        assert_eq!(control.nodes[&east][2], named("witness.east-3.node"));
        // One rule's targets are those of all zones, and lead each by its own link.
        let shared: Vec<&Shared> =
            layout.shared.iter().filter(|shared| node.files_targets.contains(&shared.listen)).collect();
        assert_eq!(shared.len(), 3);
        assert_eq!(shared[1].ways[&third], named("east-3.west-2.files.0"));
    }

    #[test]
    fn the_nodes_of_a_store_call_one_another_by_one_name_and_each_by_its_own_link() {
        let layout = layout(3, 1);
        let east = &layout.regions[0];
        let second = Site { region: east.clone(), zone: Zone(2) };
        let port = layout.own[&second].files.port();
        let (drives, own) = layout.drives(&second).unwrap();
        assert_eq!((drives.len(), own), (6, Address::new(STORE_ALIAS, port)));
        assert_eq!(layout.drives(&Site::whole(east)).unwrap().0, drives);
        assert_eq!(drives[2], format!("http://127.0.0.2:{port}/run/east-2/files/1"));
        let shared = layout.shared.iter().find(|shared| shared.listen == Address::new(STORE_ALIAS, port)).unwrap();
        let ways: Vec<String> = shared.ways.keys().map(Site::name).collect();
        assert_eq!((ways, &shared.to), (vec!["east".to_owned(), "east-3".to_owned()], &second));
    }

    #[test]
    fn a_proxy_lives_with_what_it_is_lost_with() {
        for zones in [1, 3] {
            let layout = layout(zones, 1);
            for proxy in &layout.proxies {
                let lost = |cut: &[Site]| proxy.group.is_lost(&cut.iter().cloned().collect(), zones);
                for region in &layout.regions {
                    let sites = Site::of(region, zones);
                    let touches = sites.iter().any(|site| proxy.link.touches(&site.name()));
                    assert_eq!(lost(&sites), touches, "{} without {region}", proxy.name);
                    for site in &sites {
                        // What is not lost with it is closed one by one.
                        let touches = proxy.link.touches(&site.name());
                        assert!(touches || !lost(std::slice::from_ref(site)), "{} without {site}", proxy.name);
                    }
                }
            }
        }
    }
}
