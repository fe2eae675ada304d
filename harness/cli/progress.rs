//! Progress on stderr: a live line on a terminal, plain lines elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::model::{
    event::{Event, RunPhase, What},
    plan::StepState,
};

/// A line of progress, where no bar is shown.
pub(super) fn line(text: &str) {
    raw(&format!("{text}\n"));
}

/// Text for stderr, as it is.
pub(super) fn raw(text: &str) {
    // Nothing can be done about a stderr that is closed.
    io::stderr().lock().write_all(text.as_bytes()).unwrap_or_default();
}

/// Shows a run's progress.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    phase: &'static str,
}

impl Progress {
    /// For one run.
    pub(super) fn start(name: &str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let progress = Self { bar, phase: "" };
        if progress.bar.is_none() {
            line(&format!("{name}: started"));
        }
        progress
    }

    /// A line that stays.
    pub(super) fn say(&self, text: &str) {
        self.printer()(text);
    }

    /// Prints lines that stay, above the live one.
    pub(super) fn printer(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |text| match &bar {
            Some(bar) => bar.println(text),
            None => line(text),
        }
    }

    /// Shows an event.
    pub(super) fn show(&mut self, event: &Event) {
        match &event.what {
            What::Phase(phase) => {
                self.phase = phase_text(*phase);
                match &self.bar {
                    Some(bar) => bar.set_message(self.phase),
                    None => line(&format!("  {:>7.2} s  {}", event.at.seconds(), self.phase)),
                }
            }
            What::Rates { acked_per_s, other_per_s, lag_s } => {
                let lag = lag_s.map_or_else(|| "lag unknown".to_owned(), |lag| format!("lag {lag:.2} s"));
                let rates = format!("{acked_per_s:.0} acknowledged/s, {other_per_s:.0} not/s, {lag}");
                match &self.bar {
                    Some(bar) => bar.set_message(format!("{}: {rates}", self.phase)),
                    None => line(&format!("  {:>7.2} s    {rates}", event.at.seconds())),
                }
            }
            What::Prefill { detail, .. } => self.say(&format!("  {:>7.2} s  prefill: {detail}", event.at.seconds())),
            What::Step { id, state, detail } => {
                let state = match state {
                    StepState::Started => "started",
                    StepState::Done => "done",
                    StepState::Healed => "healed",
                };
                self.say(&format!("  {:>7.2} s  {id} {state}{}", event.at.seconds(), after(detail)));
            }
            What::StepFailed { id, why } => self.say(&format!("  {:>7.2} s  {id} FAILED: {why}", event.at.seconds())),
            What::SwitchBegan { event: name, .. } => {
                self.say(&format!("  {:>7.2} s  {name} began, says the platform", event.at.seconds()));
            }
            What::SwitchCompleted { event: name, .. } => {
                self.say(&format!("  {:>7.2} s  {name} completed, says the platform; observing", event.at.seconds()));
            }
            What::SwitchEnded { event: name, aborted, why, .. } => {
                let how = if *aborted { "was undone" } else { "failed" };
                self.say(&format!(
                    "  {:>7.2} s  {name} {how}, says the platform: {why}; observing",
                    event.at.seconds()
                ));
            }
            What::Protected { seen, detail, .. } => {
                let seen = if *seen { "seen" } else { "NOT SEEN" };
                self.say(&format!("  {:>7.2} s  protected, says the platform; {seen}: {detail}", event.at.seconds()));
            }
            What::Quota { region, trouble: Some(why), .. } => {
                self.say(&format!("  {:>7.2} s  {region} is not held to its processors: {why}", event.at.seconds()));
            }
            What::Withheld { versions, waited_s, .. } => self.say(&format!(
                "  {:>7.2} s  {versions} files were listed and not handed out for up to {waited_s:.0} s",
                event.at.seconds()
            )),
            What::Problem(why) => self.say(&format!("  {:>7.2} s  problem: {why}", event.at.seconds())),
            What::CleanUpIncomplete(what) => self.say(&format!("  left behind: {what}")),
            _ => {}
        }
    }

    /// Ends the live line.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn after(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

fn phase_text(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::SetUp => "finding servers",
        RunPhase::Start => "starting two regions",
        RunPhase::Deploy => "deploying environments with their replicas",
        RunPhase::WarmUp => "warming up",
        RunPhase::Timeline => "timeline",
        RunPhase::Settle => "settling",
        RunPhase::Quiesced => "quiesced",
        RunPhase::Read => "reading both regions, cut off",
        RunPhase::Judge => "judging",
        RunPhase::CleanUp => "cleaning up",
    }
}
