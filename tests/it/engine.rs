//! A Docker engine that dies in the middle of a drill, and one whose disk runs full: told, and nothing is left once it answers again.
//!
//! The engine is the test's own, in a network namespace of its own and on a small ext4, so that no other container of this
//! machine has to do with it. That needs root, `dockerd`, `ip`, `nsenter` and a loop device.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    compose::{from_packages, said},
    stage::Stage,
    support::program,
    turn::alone,
};

const SCENARIO: &str = r#"
geodrill: 1
name: short
platform: { reference: { outage_grace: 1s } }
environments: [ { id: sales, kind: dataverse-production } ]
workload: { rate: 20/s, writers: 2, warm_up: 1s, settle: 1s, min_acked: 10 }
timeline:
  - { id: calm, pause: 10s }
  - { id: outage, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed }, within: 20s, pause: 1s }
expect: [ { guarantee: dataverse.unplanned.switched, environment: sales } ]
"#;

/// The engine's disk: the images take about half of it.
const DISK_MIB: u64 = 2_500;

/// What a run leaves while it stands: containers, networks, volumes.
const ALL: usize = 24;

struct Engine {
    folder: PathBuf,
    dockerd: Child,
}

impl Engine {
    fn start() -> Self {
        let folder = PathBuf::from(format!("/var/tmp/geodrill-engine-{}", std::process::id()));
        let image = folder.with_extension("image");
        fs::create_dir_all(&folder).expect("a folder under /var/tmp");
        fs::File::create(&image).and_then(|image| image.set_len(DISK_MIB << 20)).expect("a file under /var/tmp");
        done(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        done(Command::new("mount").args(["-o", "loop"]).args([&image, &folder]));
        let engine = Self { dockerd: Self::launch(&folder), folder };
        engine.await_answer();
        engine.load_images();
        engine
    }

    fn launch(folder: &Path) -> Child {
        let at = |name: &str| folder.join(name).display().to_string();
        let log = fs::File::create(folder.with_extension("log")).expect("a log");
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec dockerd \"$@\"", "-", "--bridge=none"]);
        command.args(["--userland-proxy=false", "--data-root", &at("data"), "--exec-root", &at("exec")]);
        command.args(["--pidfile", &at("pid"), "--host", &format!("unix://{}", at("docker.sock"))]);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("unshare is there")
    }

    fn await_answer(&self) {
        let began = Instant::now();
        while !self.docker(&["version"]).status.success() {
            let log = fs::read_to_string(self.folder.with_extension("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "dockerd does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The images of the machine's own engine.
    fn load_images(&self) {
        let names = images().into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        let mut saved = Command::new("docker").arg("save").args(&names).stdout(Stdio::piped()).spawn().expect("docker");
        let from = saved.stdout.take().expect("it is piped");
        let mut load = Command::new("docker");
        done(load.env("DOCKER_HOST", self.host()).arg("load").stdin(from).stdout(Stdio::null()));
        assert!(saved.wait().expect("it ends").success());
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.join("docker.sock").display())
    }

    fn docker(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).args(arguments).stdin(Stdio::null()).output().expect("docker is there")
    }

    /// Everything in it but images.
    fn things(&self) -> usize {
        let lists = [&["ps", "--all"][..], &["network", "ls", "--filter", "type=custom"], &["volume", "ls"]];
        let count = |list: &&[&str]| {
            let output = self.docker(&[list, &["--quiet"][..]].concat());
            String::from_utf8_lossy(&output.stdout).lines().count()
        };
        lists.iter().map(count).sum()
    }

    /// A call of the program where the engine's published ports are.
    fn command(&self, stage: &Stage) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.dockerd.id())).arg("--").arg(program());
        for (name, value) in stage.command().get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        for (name, value) in images() {
            command.env(name, value);
        }
        command.env("DOCKER_HOST", self.host()).stdin(Stdio::null());
        command
    }

    fn run(&self, stage: &Stage) -> Command {
        let file = stage.runs().with_file_name("short.yaml");
        fs::write(&file, SCENARIO).expect("written");
        let mut run = self.command(stage);
        run.args(["run", "--testbed", "compose"]).arg(file);
        run
    }

    fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(Pid::from_raw(self.dockerd.id().cast_signed()), signal).expect("it may be sent");
    }

    /// After a test that failed: a dead dockerd leaves containerd, and one shim for each container, which is its child.
    fn end_orphans(&self) {
        let wanted = self.folder.display().to_string();
        let pids = fs::read_dir("/proc").expect("Linux has /proc").flatten();
        for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if !String::from_utf8_lossy(&line).contains(&wanted) || pid == std::process::id().cast_signed() {
                continue;
            }
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|child| child.parse().ok());
            for victim in children.chain([pid]) {
                let _ = nix::sys::signal::kill(Pid::from_raw(victim), Signal::SIGKILL);
            }
        }
    }

    /// Starts it again on what it had.
    fn again(&mut self) {
        let _ = fs::remove_file(self.folder.join("pid"));
        self.dockerd = Self::launch(&self.folder);
        self.await_answer();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.dockerd.id().cast_signed());
        if self.dockerd.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = nix::sys::signal::kill(pid, Signal::SIGTERM);
            let _ = self.dockerd.wait();
        }
        self.end_orphans();
        self.end_orphans();
        // Lazily: containerd may need a moment.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        let _ = fs::remove_dir(&self.folder);
        for name in ["image", "log"] {
            let _ = fs::remove_file(self.folder.with_extension(name));
        }
    }
}

fn done(command: &mut Command) {
    let status = command.status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}

/// The images that a run needs, as variables.
fn images() -> Vec<(String, String)> {
    from_packages(&["--base".as_ref()])
}

fn told(output: &Output) -> String {
    said(output).1
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_or_has_no_room_is_told_and_nothing_is_left_once_it_answers() {
    let _turn = alone().await;
    let mut engine = Engine::start();
    let stage = Stage::set().await;

    let mut run = engine.run(&stage).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nsenter is there");
    let began = Instant::now();
    while engine.things() < ALL {
        assert!(run.try_wait().expect("its state").is_none() && began.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(200));
    }
    // In the middle of its load.
    std::thread::sleep(Duration::from_secs(10));
    engine.signal(Signal::SIGKILL);
    engine.dockerd.wait().expect("it is collected");
    let died = Instant::now();
    let output = run.wait_with_output().expect("it ends");
    let text = told(&output);
    println!(
        "the engine was killed; {:.0?} later the run ended with {:?}:\n{text}",
        died.elapsed(),
        output.status.code()
    );
    assert!(died.elapsed() < Duration::from_secs(240), "{text}");
    assert!(matches!(output.status.code(), Some(5 | 70)), "{:?}\n{text}", output.status);
    assert!(text.contains("Docker project geodrill-") && text.contains("geodrill clean"), "{text}");
    engine.again();
    let cleaned = engine.command(&stage).arg("clean").output().expect("it runs");
    assert_eq!(cleaned.status.code(), Some(0), "{}", told(&cleaned));
    assert_eq!(engine.things(), 0, "{}", told(&cleaned));

    let filler = engine.folder.join("filler");
    let room = Command::new("df").args(["--output=avail", "-BM"]).arg(&engine.folder).output().expect("df");
    let free: u64 = told(&room).chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number");
    // Room for the volumes to be made, and not for what is written to them.
    done(Command::new("fallocate").args(["-l", &format!("{}M", free.saturating_sub(60))]).arg(&filler));
    let output = engine.run(&stage).output().expect("it runs");
    let text = told(&output);
    println!("no room: {:?}\n{text}", output.status.code());
    assert!(matches!(output.status.code(), Some(64 | 70)), "{:?}\n{text}", output.status);
    // Either the engine itself has said so, or the logs do that the error names.
    let logs = text.split("(logs: ").nth(1).and_then(|rest| rest.split(')').next()).map(Path::new);
    let said = logs.into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let mut said = said.map(|log| fs::read_to_string(log.path()).unwrap_or_default()).chain([text.clone()]);
    assert!(said.any(|log| log.to_lowercase().contains("no space left")), "{text}");
    let cleaned = engine.command(&stage).arg("clean").output().expect("it runs");
    assert_eq!(cleaned.status.code(), Some(0), "{}", told(&cleaned));
    assert_eq!(engine.things(), 0, "{}", told(&cleaned));
    assert!(stage.standing().is_empty());
}
