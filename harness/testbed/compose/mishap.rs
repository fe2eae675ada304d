//! Lets a mishap befall packets (`geodrill role packets`): a process beside a Toxiproxy, in the same network namespace and
//! nowhere else, to which the kernel hands the packets of some ports one by one.
//!
//! What befalls which packet is drawn from the fault's seed, in the order in which they come. The kernel is told to let pass what it
//! would have handed over if this process is gone. Every change is told on standard output, a line of JSON each.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use nfq::{Message, Queue, Verdict};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use crate::{
    model::fault::Mishap,
    testbed::contract::{KernelCounts, PacketCounts},
};

/// Packets that wait for us at most: at 100 MB/s and 1 s of delay some 70,000 are under way.
const WAITING_MAX: u32 = 100_000;

/// How often packets whose time has come are looked for while some are held.
const LOOK: Duration = Duration::from_micros(500);

/// How often counts are told, if they have changed.
const TELL: Duration = Duration::from_millis(50);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The ports that a link has here.
    pub ports: Vec<u16>,
    /// What befalls its packets.
    pub mishap: Mishap,
    /// What it is drawn from.
    pub seed: u64,
}

/// Does it until it is asked to end (SIGTERM); then nothing befalls packets any more.
///
/// # Errors
/// What the kernel or `iptables` said instead.
pub async fn run(task: Task, tell: impl Fn(&PacketCounts)) -> Result<(), String> {
    let number = *task.ports.first().ok_or("no port is named")?;
    let queue = open(number).map_err(|error| {
        format!("the kernel that the engine runs on hands no packets over (nfnetlink_queue): {error}")
    })?;
    let rules = Rules { ports: task.ports.clone(), number };
    let mut ended = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let before = kernel().map_err(|error| format!("/proc/net: {error}"))?;
    let counts = Arc::new(Mutex::new(PacketCounts::default()));
    let (failed, failure) = mpsc::channel();
    let chance = Chance { mishap: task.mishap, random: ChaCha8Rng::seed_from_u64(task.seed) };
    let counted = Arc::clone(&counts);
    // It waits in the kernel, so it has a thread to itself; that ends with the process.
    std::thread::spawn(move || failed.send(hand_on(queue, chance, &counted)));
    rules.add().await?;
    let mut told = None;
    loop {
        let mut now = *lock(&counts);
        now.kernel = since(before, kernel().map_err(|error| format!("/proc/net: {error}"))?);
        if told != Some(now) {
            tell(&now);
            told = Some(now);
        }
        if let Ok(why) = failure.try_recv() {
            rules.remove().await?;
            return Err(format!("packets are not handed over any more: {why}"));
        }
        tokio::select! {
            () = tokio::time::sleep(TELL) => {}
            _ = ended.recv() => break,
        }
    }
    rules.remove().await?;
    // What is held still comes, as late as it must.
    tokio::time::sleep(longest(task.mishap)).await;
    Ok(())
}

fn open(number: u16) -> io::Result<Queue> {
    let mut queue = Queue::open()?;
    queue.bind(number)?;
    queue.set_queue_max_len(number, WAITING_MAX)?;
    queue.set_fail_open(number, true)?;
    queue.set_recv_enobufs(false)?;
    Ok(queue)
}

/// Hands packets on as the mishap has it, until the kernel does not hand them over any more.
fn hand_on(mut queue: Queue, mut chance: Chance, counts: &Mutex<PacketCounts>) -> io::Error {
    let mut held: BinaryHeap<Held> = BinaryHeap::new();
    let mut order = 0;
    loop {
        // With nothing held nothing is due, and the kernel wakes us.
        queue.set_nonblocking(!held.is_empty());
        match queue.recv() {
            Ok(mut message) => {
                let lot = chance.draw();
                {
                    let mut counts = lock(counts);
                    counts.seen += 1;
                    counts.befallen += u64::from(lot != Lot::Pass);
                }
                let verdict = if lot == Lot::Drop { Verdict::Drop } else { Verdict::Accept };
                message.set_verdict(verdict);
                if let Lot::Change(draw) = lot {
                    change(message.get_payload_mut(), draw);
                }
                if let Lot::Hold(time) = lot {
                    order += 1;
                    held.push(Held { due: Reverse((Instant::now() + time, order)), message });
                } else if let Err(error) = queue.verdict(message) {
                    return error;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let due = held.peek().map(|next| next.due.0.0.saturating_duration_since(Instant::now()));
                std::thread::sleep(due.unwrap_or_default().min(LOOK));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error,
        }
        while held.peek().is_some_and(|next| next.due.0.0 <= Instant::now()) {
            let Some(Held { message, .. }) = held.pop() else { break };
            if let Err(error) = queue.verdict(message) {
                return error;
            }
        }
    }
}

/// A packet that is held; what is due first comes first, and of those due at once what came first.
struct Held {
    due: Reverse<(Instant, u64)>,
    message: Message,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

/// What befalls one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lot {
    Pass,
    Drop,
    Hold(Duration),
    /// A bit is changed, drawn by this number.
    Change(u64),
}

struct Chance {
    mishap: Mishap,
    random: ChaCha8Rng,
}

impl Chance {
    fn draw(&mut self) -> Lot {
        let befalls = |share: u8, random: &mut ChaCha8Rng| random.random_range(0..100) < share;
        match self.mishap {
            Mishap::Loss { share } if befalls(share, &mut self.random) => Lot::Drop,
            Mishap::Reorder { share, by } if befalls(share, &mut self.random) => Lot::Hold(by),
            Mishap::Corrupt { share } if befalls(share, &mut self.random) => Lot::Change(self.random.random()),
            Mishap::Delay { delay, jitter } => {
                let most = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX / 4);
                let added = Duration::from_micros(self.random.random_range(0..=2 * most));
                Lot::Hold((delay + added).saturating_sub(jitter))
            }
            Mishap::Loss { .. } | Mishap::Reorder { .. } | Mishap::Corrupt { .. } => Lot::Pass,
        }
    }
}

fn longest(mishap: Mishap) -> Duration {
    match mishap {
        Mishap::Delay { delay, jitter } => delay + jitter,
        Mishap::Reorder { by, .. } => by,
        Mishap::Loss { .. } | Mishap::Corrupt { .. } => Duration::ZERO,
    }
}

/// Changes a bit of what an IPv4 packet carries: the checksum of TCP covers all of that, the one of IP none.
fn change(packet: &mut [u8], draw: u64) {
    let header = packet.first().map_or(0, |first| usize::from(first & 0xf) * 4);
    let Some(carried) = packet.get_mut(header..).filter(|carried| !carried.is_empty()) else { return };
    let bits = carried.len() as u64 * 8;
    let bit = (draw % bits) as usize;
    carried[bit / 8] ^= 1 << (bit % 8);
}

/// What makes the kernel hand packets over: a rule for each port and direction.
struct Rules {
    ports: Vec<u16>,
    number: u16,
}

impl Rules {
    async fn add(&self) -> Result<(), String> {
        self.each("-I").await
    }

    async fn remove(&self) -> Result<(), String> {
        self.each("-D").await
    }

    async fn each(&self, how: &str) -> Result<(), String> {
        for port in &self.ports {
            for (chain, side) in [("INPUT", "--dport"), ("OUTPUT", "--sport")] {
                let (port, number) = (port.to_string(), self.number.to_string());
                let rule = ["-p", "tcp", side, &port, "-j", "NFQUEUE", "--queue-num", &number, "--queue-bypass"];
                iptables(&[&["-w", how, chain], &rule[..]].concat()).await?;
            }
        }
        Ok(())
    }
}

async fn iptables(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("/usr/sbin/iptables").args(arguments).output().await;
    let output = ran.map_err(|error| format!("/usr/sbin/iptables: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("iptables {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// What this network namespace's TCP has counted.
fn kernel() -> io::Result<KernelCounts> {
    let (snmp, netstat) = (fs::read_to_string("/proc/net/snmp")?, fs::read_to_string("/proc/net/netstat")?);
    Ok(KernelCounts {
        retransmitted: counter(&snmp, "Tcp", "RetransSegs"),
        bad_checksums: counter(&snmp, "Tcp", "InCsumErrors"),
        out_of_order: counter(&netstat, "TcpExt", "TCPOFOQueue"),
    })
}

/// A counter in a text of two lines a protocol: the names, and the values in the same order.
fn counter(text: &str, protocol: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let place = names.split(' ').position(|known| known == name);
    place.and_then(|place| values.split(' ').nth(place)?.parse().ok()).unwrap_or_default()
}

fn since(before: KernelCounts, now: KernelCounts) -> KernelCounts {
    KernelCounts {
        retransmitted: now.retransmitted.saturating_sub(before.retransmitted),
        bad_checksums: now.bad_checksums.saturating_sub(before.bad_checksums),
        out_of_order: now.out_of_order.saturating_sub(before.out_of_order),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(mishap: Mishap, seed: u64) -> Vec<Lot> {
        let mut chance = Chance { mishap, random: ChaCha8Rng::seed_from_u64(seed) };
        (0..10_000).map(|_| chance.draw()).collect()
    }

    #[test]
    fn what_befalls_packets_is_drawn_from_the_seed_and_in_proportion() {
        let loss = |share| Mishap::Loss { share };
        assert_eq!(drawn(loss(20), 1), drawn(loss(20), 1));
        assert_ne!(drawn(loss(20), 1), drawn(loss(20), 2));
        let lost = drawn(loss(20), 3).iter().filter(|lot| **lot == Lot::Drop).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
        assert!(drawn(loss(100), 4).iter().all(|lot| *lot == Lot::Drop));
        let (delay, jitter) = (Duration::from_millis(50), Duration::from_millis(10));
        let held: Vec<Duration> = drawn(Mishap::Delay { delay, jitter }, 5)
            .into_iter()
            .map(|lot| if let Lot::Hold(time) = lot { time } else { panic!("{lot:?}") })
            .collect();
        assert!(held.iter().all(|time| (delay - jitter..=delay + jitter).contains(time)));
        assert!(held.iter().max() > Some(&(delay + jitter / 2)) && held.iter().min() < Some(&(delay - jitter / 2)));
    }

    #[test]
    fn one_bit_is_changed_and_never_one_of_the_header_of_ip() {
        for draw in 0..500 {
            let mut packet = vec![0; 60];
            packet[0] = 0x45;
            change(&mut packet, draw);
            assert_eq!(packet[..20].iter().map(|byte| byte.count_ones()).sum::<u32>(), 3, "the header is as it was");
            assert_eq!(packet[20..].iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        }
        change(&mut [], 1);
        change(&mut [0x45; 20], 1);
    }

    #[test]
    fn counters_are_found_by_their_names() {
        let text = "Ip: A B\nIp: 1 2\nTcp: InSegs RetransSegs InCsumErrors\nTcp: 7 8 9\n";
        assert_eq!(counter(text, "Tcp", "RetransSegs"), 8);
        assert_eq!(counter(text, "Tcp", "InCsumErrors"), 9);
        assert_eq!(counter(text, "Tcp", "None"), 0);
        assert_eq!(counter("", "Tcp", "InSegs"), 0);
    }

    #[test]
    fn what_is_due_first_comes_first() {
        let now = Instant::now();
        let mut dues = BinaryHeap::from([Reverse((now + LOOK, 1)), Reverse((now, 2)), Reverse((now, 3))]);
        let popped: Vec<u64> = std::iter::from_fn(|| dues.pop()).map(|due| due.0.1).collect();
        assert_eq!(popped, [2, 3, 1]);
    }
}
