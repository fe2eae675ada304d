//! Every link, in four Toxiproxies: one for the links of each region, one for those between the regions, one for the rest. Of
//! regions with zones: one for each zone's own links and one for those between the zones of a region instead of a region's one.
//!
//! A testbed runs the servers themselves ([`Servers`]). Losing a region kills its Toxiproxies, so that all its links are cut in
//! one instant, without any call that could hang; coming back starts them anew with whatever still impedes a link. A zone's loss
//! kills the one that is its own; its links with other zones live beside theirs and are closed one by one right after
//! ([`Links::close`]). One that hangs in a call (it can, once an
//! upstream stops answering) is discarded and remade in the same way; that breaks the connections of its other links, so
//! whoever asked is told, and must not call the run clean.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use crate::{
    api::{Address, Region},
    clients::{
        poll,
        toxiproxy::{ProxyState, Toxic, Toxiproxy, ToxiproxyError},
    },
    model::{
        fault::{Direction, Mishap, PartitionMode},
        link::Link,
    },
    testbed::{
        contract::{Impediment, LinkTrial, PacketCounts, TestbedError, Weighing},
        layout::{Group, Layout, ProxyPlan, Service, Site},
        probe,
        undo::{Entry, Ledger},
    },
};

/// Deadline of one call; on loopback they take about a millisecond.
const CALL: Duration = Duration::from_secs(2);

/// How long a Toxiproxy may take to start.
const START: Duration = Duration::from_secs(10);

/// Who runs the Toxiproxies, one a group.
pub(super) trait Servers: Send + Sync {
    /// Starts one that does not run.
    fn start<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Kills one, and waits until its ports are free. That none runs is no trouble, and what is left of one will be told by
    /// the next that is started.
    fn end<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, ()>;

    /// How one ended, if it has.
    fn ended<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Option<String>>;

    /// What one has beside the links' proxies: always open, and never a fault's.
    fn standing(&self, _: &Group) -> Vec<ProxyState> {
        Vec::new()
    }

    /// How the examiner gets at a proxy of a group.
    fn way(&self, group: &Group, listen: &Address) -> probe::Way;

    /// The last lines of its log.
    fn last_words<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, String>;

    /// Where packets can be told apart: who does it.
    fn packets(&self) -> Option<&dyn Packets> {
        None
    }
}

/// Who lets mishaps befall the packets of a server that runs. All is asked by the ports that a link has there.
pub(super) trait Packets: Send + Sync {
    /// Lets it befall them from now on.
    fn afflict<'a>(
        &'a self,
        group: &'a Group,
        ports: &'a [u16],
        mishap: Mishap,
        seed: u64,
    ) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// Ends it.
    fn relieve<'a>(&'a self, group: &'a Group, ports: &'a [u16]) -> BoxFuture<'a, Result<(), TestbedError>>;

    /// What befell them since.
    fn counts<'a>(&'a self, group: &'a Group, ports: &'a [u16]) -> BoxFuture<'a, Result<PacketCounts, TestbedError>>;
}

struct Server {
    client: Toxiproxy,
    /// Held while its proxies are changed.
    work: tokio::sync::Mutex<()>,
}

/// All links of a run.
pub(super) struct Links {
    bind: IpAddr,
    zones: u8,
    host: Arc<dyn Servers>,
    ledger: Arc<Ledger>,
    servers: BTreeMap<Group, Server>,
    plans: Mutex<Vec<ProxyPlan>>,
    impeded: Mutex<BTreeMap<Link, Impediment>>,
    cut: Mutex<BTreeSet<Site>>,
    /// Regions of which only the links outward are cut.
    inward: Mutex<BTreeSet<Region>>,
}

impl Links {
    /// The links of a layout; none is there yet.
    pub fn new(layout: &Layout, host: Arc<dyn Servers>, ledger: Arc<Ledger>) -> Self {
        let server = |port: u16| Server { client: Toxiproxy::at(port), work: tokio::sync::Mutex::default() };
        Self {
            bind: layout.bind,
            zones: layout.zones,
            host,
            ledger,
            servers: layout.groups.iter().map(|(group, api)| (group.clone(), server(api.port()))).collect(),
            plans: Mutex::new(layout.proxies.clone()),
            impeded: Mutex::default(),
            cut: Mutex::default(),
            inward: Mutex::default(),
        }
    }

    /// Starts every Toxiproxy and makes every proxy.
    pub async fn start(&self) -> Result<(), TestbedError> {
        let groups: Vec<&Group> = self.servers.keys().collect();
        all(groups.iter().map(|group| self.start_one(group))).await
    }

    async fn start_one(&self, group: &Group) -> Result<(), TestbedError> {
        let Some(server) = self.servers.get(group) else { return Ok(()) };
        let _work = server.work.lock().await;
        self.make(group, server).await
    }

    /// Starts a server anew. The caller holds its lock.
    async fn remake(&self, group: &Group, server: &Server) -> Result<(), TestbedError> {
        self.host.end(group).await;
        self.make(group, server).await
    }

    /// Starts a server that does not run, with all its proxies as they should be. The caller holds its lock.
    async fn make(&self, group: &Group, server: &Server) -> Result<(), TestbedError> {
        if self.is_lost(group) {
            return Ok(());
        }
        self.host.start(group).await?;
        // A cut that came meanwhile may have found nothing to kill.
        if self.is_lost(group) {
            self.host.end(group).await;
            return Ok(());
        }
        let made = self.make_proxies(group, server).await;
        match made {
            // They were cut meanwhile: that its links are not there is as it should be.
            Err(_) if self.is_lost(group) => Ok(()),
            Err(why) => {
                let last = self.host.last_words(group).await;
                Err(failed(format!("make the links of {}: {why}; its log ends:\n{last}", group.name())))
            }
            Ok(()) => Ok(()),
        }
    }

    async fn make_proxies(&self, group: &Group, server: &Server) -> Result<(), String> {
        let client = &server.client;
        let answers = || async {
            match self.host.ended(group).await {
                Some(how) => Ok(Err(format!("it ended with {how}"))),
                None => client.version(CALL).await.map(|_| Ok(())),
            }
        };
        poll::until("toxiproxy's API", START, Duration::from_millis(5), answers)
            .await
            .map_err(|error| error.to_string())??;
        let plans: Vec<ProxyPlan> = self.plans().into_iter().filter(|plan| plan.group == *group).collect();
        let impeded = lock(&self.impeded).clone();
        // What befell the packets of the one before ended with it.
        let afflicted = plans.iter().filter_map(|plan| match impeded.get(&plan.link) {
            Some(Impediment::Packets(mishap, seed)) => Some((plan.link.clone(), (*mishap, *seed))),
            _ => None,
        });
        for (link, (mishap, seed)) in afflicted.collect::<BTreeMap<_, _>>() {
            let (packets, ports) = (self.able()?, ports_of(&plans, &link));
            packets.afflict(group, &ports, mishap, seed).await.map_err(|error| error.to_string())?;
        }
        // What is impeded opens only once its toxics are in place.
        let opens = |plan: &&ProxyPlan| !impeded.contains_key(&plan.link) && !self.is_cut(plan);
        let of_links = plans.iter().map(|plan| plan.state(self.bind, opens(&plan)));
        let states: Vec<_> = of_links.chain(self.host.standing(group)).collect();
        client.populate(&states, CALL).await.map_err(|error| error.to_string())?;
        for plan in &plans {
            let Some(how) = impeded.get(&plan.link) else { continue };
            apply(client, plan, *how).await.map_err(|error| error.to_string())?;
            if !refuses(*how) && !self.is_cut(plan) {
                client.switch(&plan.name, true, CALL).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// From now on, until they are brought back, the cut sites of this region reach one another.
    pub fn spare_within(&self, region: &Region) {
        lock(&self.inward).insert(region.clone());
    }

    /// Says that sites are cut off. The groups whose servers must end for it come back; the caller kills them at its instant,
    /// and then calls [`Links::close`].
    pub fn mark_cut(&self, sites: &[Site]) -> Vec<Group> {
        lock(&self.cut).extend(sites.iter().cloned());
        self.servers.keys().filter(|group| self.is_lost(group)).cloned().collect()
    }

    /// Closes those links of sites that are cut off whose server goes on for the sake of others.
    pub async fn close(&self, sites: &[Site]) -> Result<(), TestbedError> {
        let plans =
            self.plans().into_iter().filter(|plan| touches(plan, sites) && !self.is_inward(&plan.group)).collect();
        self.change(plans, |client, plan| async move { client.switch(&plan.name, false, CALL).await }).await
    }

    /// Brings back the links of sites, but those of a site still cut.
    pub async fn uncut(&self, sites: &[Site]) -> Result<(), TestbedError> {
        let were_lost: Vec<&Group> = self.servers.keys().filter(|group| self.is_lost(group)).collect();
        let closed: Vec<ProxyPlan> = self
            .plans()
            .into_iter()
            .filter(|plan| touches(plan, sites) && self.is_cut(plan) && !were_lost.contains(&&plan.group))
            .collect();
        lock(&self.cut).retain(|site| !sites.contains(site));
        lock(&self.inward).retain(|region| !sites.iter().any(|site| site.region == *region));
        let remade = all(were_lost.into_iter().filter(|group| !self.is_lost(group)).map(|group| async move {
            let Some(server) = self.servers.get(group) else { return Ok(()) };
            let _work = server.work.lock().await;
            self.remake(group, server).await
        }));
        let impeded = lock(&self.impeded).clone();
        let opened = self.change(closed.into_iter().filter(|plan| !self.is_cut(plan)).collect(), |client, plan| {
            let how = impeded.get(&plan.link).copied();
            async move {
                client.remove_toxics(&plan.name, CALL).await?;
                match how {
                    Some(how) if refuses(how) => Ok(()),
                    Some(how) => {
                        apply(&client, &plan, how).await?;
                        client.switch(&plan.name, true, CALL).await
                    }
                    None => client.switch(&plan.name, true, CALL).await,
                }
            }
        });
        let (remade, opened) = tokio::join!(remade, opened);
        remade.and(opened)
    }

    /// Impedes links, all their proxies at once.
    pub async fn impede(&self, links: &[Link], how: Impediment) -> Result<(), TestbedError> {
        let plans = self.known(links)?;
        let entry = Entry::Impede { links: links.to_vec(), how: format!("{how:?}") };
        self.ledger.note(&entry).map_err(|error| failed(format!("write the undo ledger: {error}")))?;
        if matches!(how, Impediment::Packets(..)) {
            self.able().map_err(TestbedError::Unusable)?;
        }
        {
            let mut impeded = lock(&self.impeded);
            if let Some(link) = links.iter().find(|link| impeded.contains_key(link)) {
                return Err(failed(format!("impede {link}: something else impedes it already, heal that first")));
            }
            impeded.extend(links.iter().map(|link| (link.clone(), how)));
        }
        if let Impediment::Packets(mishap, seed) = how {
            return self.befall(&plans, links, Some((mishap, seed))).await;
        }
        self.change(self.open(plans), |client, plan| async move { apply(&client, &plan, how).await }).await
    }

    /// Those that no site's loss keeps closed: the others are left to its return.
    fn open(&self, plans: Vec<ProxyPlan>) -> Vec<ProxyPlan> {
        plans.into_iter().filter(|plan| !self.is_cut(plan)).collect()
    }

    /// Lets a mishap befall the packets of each of these links, or none any more; those of a cut region are left to its return.
    async fn befall(
        &self,
        plans: &[ProxyPlan],
        links: &[Link],
        mishap: Option<(Mishap, u64)>,
    ) -> Result<(), TestbedError> {
        let packets = self.able().map_err(failed)?;
        all(links.iter().filter_map(|link| {
            let group = &plans.iter().find(|plan| plan.link == *link)?.group;
            let server = self.servers.get(group).filter(|_| !self.is_lost(group))?;
            Some(async move {
                let _work = server.work.lock().await;
                let ports = ports_of(plans, link);
                match mishap {
                    Some((mishap, seed)) => packets.afflict(group, &ports, mishap, seed).await,
                    None => packets.relieve(group, &ports).await,
                }
            })
        }))
        .await
    }

    /// What befell the packets of a link.
    pub async fn packets(&self, link: &Link) -> Result<PacketCounts, TestbedError> {
        let plans = self.known(std::slice::from_ref(link))?;
        let Some(plan) = plans.first() else { return Ok(PacketCounts::default()) };
        self.able().map_err(failed)?.counts(&plan.group, &ports_of(&plans, link)).await
    }

    fn able(&self) -> Result<&dyn Packets, String> {
        self.host.packets().ok_or_else(|| "links here are proxies of streams, which know of no packets".to_owned())
    }

    /// Takes off what impedes links.
    pub async fn clear(&self, links: &[Link]) -> Result<(), TestbedError> {
        let plans = self.known(links)?;
        // A heal must not fail for want of a note.
        if let Err(error) = self.ledger.note(&Entry::Clear { links: links.to_vec() }) {
            tracing::warn!(%error, "the undo ledger could not be written");
        }
        let packets: Vec<Link> = {
            let mut impeded = lock(&self.impeded);
            let of_packets = |link: &&Link| matches!(impeded.get(*link), Some(Impediment::Packets(..)));
            let found = links.iter().filter(of_packets).cloned().collect();
            impeded.retain(|link, _| !links.contains(link));
            found
        };
        if !packets.is_empty() {
            self.befall(&plans, &packets, None).await?;
        }
        let plans = plans.into_iter().filter(|plan| !packets.contains(&plan.link)).collect();
        self.change(self.open(plans), |client, plan| async move {
            client.remove_toxics(&plan.name, CALL).await?;
            client.switch(&plan.name, true, CALL).await
        })
        .await
    }

    /// Lets the one proxy of a link lead to another port; returns where it listens.
    pub async fn redirect(&self, link: &Link, upstream: u16) -> Result<Address, TestbedError> {
        self.known(std::slice::from_ref(link))?;
        let changed = {
            let mut plans = lock(&self.plans);
            plans.iter_mut().filter(|plan| plan.link == *link).for_each(|plan| plan.upstream = upstream.into());
            plans.iter().find(|plan| plan.link == *link).cloned()
        };
        let Some(plan) = changed else { return Err(failed(format!("redirect {link}: no such link"))) };
        let (state, listen) = (plan.state(self.bind, true), plan.listen.clone());
        self.change(vec![plan], move |client, _| {
            let state = state.clone();
            async move { client.redirect(&state, CALL).await }
        })
        .await?;
        Ok(listen)
    }

    /// What each proxy of a link met.
    pub async fn trials(&self, link: &Link, within: Duration) -> Result<Vec<(String, LinkTrial)>, TestbedError> {
        let trials = self.try_link(link, None, within).await?;
        Ok(trials.into_iter().map(|weighing| (weighing.proxy, weighing.trial)).collect())
    }

    /// Tries each proxy of a link; with `bytes`, with a request of about that length, whose real length is told.
    pub async fn try_link(
        &self,
        link: &Link,
        bytes: Option<usize>,
        within: Duration,
    ) -> Result<Vec<Weighing>, TestbedError> {
        let plans = self.known(std::slice::from_ref(link))?;
        let trials = plans.iter().map(|plan| async move {
            let way = self.host.way(&plan.group, &plan.listen);
            let (bytes, trial) = match bytes {
                None => (0, probe::sign_of_life(&way, plan.upstream.port(), plan.service, within).await),
                Some(bytes) => probe::weigh(&way, plan.upstream.port(), plan.service, bytes, within).await,
            };
            let trial = match trial {
                // Where a container was, nobody is there to refuse.
                LinkTrial::Refused | LinkTrial::Silent if self.is_cut(plan) => LinkTrial::Cut,
                LinkTrial::Reset if self.is_closed(plan).await => {
                    if self.is_cut(plan) {
                        LinkTrial::Cut
                    } else {
                        LinkTrial::Refused
                    }
                }
                other => other,
            };
            Weighing { proxy: plan.name.clone(), bytes, trial }
        });
        Ok(join_all(trials).await)
    }

    /// For tests: the streams on which toxics sit, of all proxies of a link, as Toxiproxy shows them.
    #[cfg(test)]
    pub async fn toxic_streams(&self, link: &Link) -> Vec<String> {
        let mut streams = Vec::new();
        for plan in self.known(std::slice::from_ref(link)).unwrap_or_default() {
            let shown = self.servers[&plan.group].client.list(CALL).await.unwrap_or_default();
            streams.extend(shown[&plan.name].toxics.iter().map(|toxic| toxic.stream.clone()));
        }
        streams
    }

    /// Makes a change to each of these proxies, at once; those of a cut region are left to its return.
    async fn change<F>(
        &self,
        plans: Vec<ProxyPlan>,
        change: impl Fn(Toxiproxy, ProxyPlan) -> F,
    ) -> Result<(), TestbedError>
    where
        F: Future<Output = Result<(), ToxiproxyError>>,
    {
        let mut groups: BTreeMap<Group, Vec<ProxyPlan>> = BTreeMap::new();
        for plan in plans {
            groups.entry(plan.group.clone()).or_default().push(plan);
        }
        let change = &change;
        all(groups.iter().filter(|(group, _)| !self.is_lost(group)).map(|(group, plans)| async move {
            let Some(server) = self.servers.get(group) else { return Ok(()) };
            let _work = server.work.lock().await;
            let done = join_all(plans.iter().map(|plan| change(server.client.clone(), plan.clone()))).await;
            let errors: Vec<&ToxiproxyError> = done.iter().filter_map(|done| done.as_ref().err()).collect();
            if errors.is_empty() || self.is_lost(group) {
                return Ok(());
            }
            let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            if !errors.iter().any(|error| matches!(error, ToxiproxyError::Hung { .. })) {
                return Err(failed(text));
            }
            tracing::warn!(group = group.name(), %text, "a Toxiproxy hangs; it is discarded and remade");
            let began = Instant::now();
            self.remake(group, server).await?;
            Err(TestbedError::Disturbed(format!(
                "{text}; it was discarded and remade as wanted within {:.1?}, which broke every connection of the links of {}",
                began.elapsed(),
                group.name()
            )))
        }))
        .await
    }

    /// Whether a proxy accepts nobody, by Toxiproxy's own word: where something accepts connections on its behalf, a refused one
    /// looks like one that is closed at once.
    async fn is_closed(&self, plan: &ProxyPlan) -> bool {
        let Some(server) = self.servers.get(&plan.group) else { return false };
        let shown = server.client.list(CALL).await.unwrap_or_default();
        shown.get(&plan.name).is_some_and(|proxy| !proxy.enabled)
    }

    fn known(&self, links: &[Link]) -> Result<Vec<ProxyPlan>, TestbedError> {
        let plans = self.plans();
        if let Some(link) = links.iter().find(|link| plans.iter().all(|plan| plan.link != **link)) {
            return Err(TestbedError::Unusable(format!("there is no link `{link}`")));
        }
        Ok(plans.into_iter().filter(|plan| links.contains(&plan.link)).collect())
    }

    fn plans(&self) -> Vec<ProxyPlan> {
        lock(&self.plans).clone()
    }

    /// Whether all that a group has is cut, so that its server does not run.
    fn is_lost(&self, group: &Group) -> bool {
        group.is_lost(&lock(&self.cut), self.zones) && !self.is_inward(group)
    }

    /// Whether a group's links are those within a region of which only the links outward are cut.
    fn is_inward(&self, group: &Group) -> bool {
        matches!(group, Group::Within(region) if lock(&self.inward).contains(region))
    }

    /// Whether a site at an end of a proxy's link is cut off.
    fn is_cut(&self, plan: &ProxyPlan) -> bool {
        !self.is_inward(&plan.group) && lock(&self.cut).iter().any(|site| plan.link.touches(&site.name()))
    }
}

fn touches(plan: &ProxyPlan, sites: &[Site]) -> bool {
    sites.iter().any(|site| plan.link.touches(&site.name()))
}

/// Whether it closes a link.
fn refuses(how: Impediment) -> bool {
    matches!(how, Impediment::Partition(PartitionMode::Refuse) | Impediment::OneWay(PartitionMode::Refuse, _))
}

/// Does what impedes one proxy, in both directions or in the one that is wanted.
async fn apply(client: &Toxiproxy, plan: &ProxyPlan, how: Impediment) -> Result<(), ToxiproxyError> {
    let proxy = &plan.name;
    let direction = match how {
        Impediment::OneWay(_, direction) => direction,
        _ => Direction::Both,
    };
    let (kind, attributes) = match how {
        Impediment::Partition(mode) | Impediment::OneWay(mode, _) => match mode {
            PartitionMode::Refuse => return client.switch(proxy, false, CALL).await,
            // Nothing passes and nothing is lost; `timeout` would drop what arrives.
            PartitionMode::Stall => ("bandwidth", vec![("rate", 0)]),
            PartitionMode::Blackhole => ("timeout", vec![("timeout", 0)]),
            PartitionMode::Reset => ("reset_peer", vec![("timeout", 0)]),
        },
        Impediment::Latency { latency, jitter } => {
            ("latency", vec![("latency", whole_ms(latency)), ("jitter", whole_ms(jitter))])
        }
        // Toxiproxy counts bytes a millisecond.
        Impediment::Bandwidth { rate_kib } => ("bandwidth", vec![("rate", (rate_kib * 1_024 / 1_000).max(1))]),
        // It is not Toxiproxy's to do.
        Impediment::Packets(..) => return Ok(()),
    };
    let toxic = |stream: &str| Toxic {
        name: format!("{kind}-{stream}"),
        kind: kind.to_owned(),
        stream: stream.to_owned(),
        attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
    };
    let (up, down) = (toxic("upstream"), toxic("downstream"));
    match stream_of(direction, opened_backward(plan)) {
        Some("upstream") => client.add_toxic(proxy, &up, CALL).await,
        Some(_) => client.add_toxic(proxy, &down, CALL).await,
        None => {
            let (up, down) = tokio::join!(client.add_toxic(proxy, &up, CALL), client.add_toxic(proxy, &down, CALL));
            up.and(down)
        }
    }
}

/// The ports that a link has in its server.
fn ports_of(plans: &[ProxyPlan], link: &Link) -> Vec<u16> {
    plans.iter().filter(|plan| plan.link == *link).map(|plan| plan.listen.port()).collect()
}

/// Whether it is the second site of a link's name that opens its connections: a standby asks another site's Postgres
/// for its log, and the link is named by the way the log goes.
fn opened_backward(plan: &ProxyPlan) -> bool {
    plan.service == Service::Postgres && matches!(plan.group, Group::Between | Group::Within(_))
}

/// Toxiproxy's name of a direction: `upstream` is from whoever opens the connection. `None`: both.
fn stream_of(direction: Direction, opened_backward: bool) -> Option<&'static str> {
    match (direction, opened_backward) {
        (Direction::Both, _) => None,
        (Direction::Forward, false) | (Direction::Backward, true) => Some("upstream"),
        (Direction::Forward, true) | (Direction::Backward, false) => Some("downstream"),
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn all<F: Future<Output = Result<(), TestbedError>>>(work: impl Iterator<Item = F>) -> Result<(), TestbedError> {
    let mut errors: Vec<TestbedError> = join_all(work).await.into_iter().filter_map(Result::err).collect();
    // What was done with a disturbance is less than what was not done.
    let worst = errors.iter().position(|error| !matches!(error, TestbedError::Disturbed(_))).unwrap_or(0);
    if errors.is_empty() { Ok(()) } else { Err(errors.swap_remove(worst)) }
}

fn failed(what: String) -> TestbedError {
    TestbedError::Failed(what)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
