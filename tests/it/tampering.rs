//! What is altered behind the harness's back is found, called by its name and counted, in rows and in objects; the
//! environment beside it, which nobody touched, is clean.

use std::path::PathBuf;

use geodrill::{
    conduct::{Drill, Finished},
    model::{
        measure::{EventMeasures, Integrity},
        operation::EnvironmentIndex,
    },
};

use crate::{
    share::share,
    support::{drill, example},
    turn::beside,
};

/// Whether the last event's counts are as they must be; the second argument says how many of a kind were altered.
type Check = fn(&EventMeasures, &dyn Fn(&str) -> u64) -> bool;

/// What an alteration of `n` must be reported as: the counts of the last event, and the findings.
struct Case {
    alterations: &'static [(&'static str, u64)],
    findings: &'static [Integrity],
    check: Check,
}

const CASES: [Case; 10] = [
    Case {
        alterations: &[("last-create", 1)],
        findings: &[],
        check: |end, n| {
            end.sql.lost_create == n("last-create") && end.sql.lost() == n("last-create") && end.sql.hole == 0
        },
    },
    Case {
        alterations: &[("early-create", 3)],
        findings: &[Integrity::Hole],
        check: |end, n| {
            let n = n("early-create");
            (end.sql.lost_create, end.sql.lost(), end.sql.hole) == (n, n, n)
        },
    },
    Case {
        alterations: &[("stale", 2)],
        findings: &[],
        check: |end, n| (end.sql.stale, end.sql.lost()) == (n("stale"), n("stale")),
    },
    Case {
        alterations: &[("resurrect", 2)],
        findings: &[],
        check: |end, n| (end.sql.resurrected, end.sql.lost()) == (n("resurrect"), n("resurrect")),
    },
    Case {
        alterations: &[("corrupt-value", 4)],
        findings: &[Integrity::Corrupt],
        check: |end, n| (end.sql.corrupt, end.sql.lost()) == (n("corrupt-value"), 0),
    },
    Case {
        alterations: &[("corrupt-hash", 2)],
        findings: &[Integrity::Corrupt],
        check: |end, n| {
            end.sql.corrupt + end.files.corrupt >= n("corrupt-hash") && end.sql.lost() + end.files.lost() == 0
        },
    },
    Case {
        alterations: &[("foreign", 3)],
        findings: &[Integrity::Phantom],
        check: |end, n| (end.sql.foreign, end.sql.lost()) == (n("foreign"), 0),
    },
    Case {
        alterations: &[("duplicate", 5)],
        findings: &[Integrity::Duplicate],
        check: |end, n| (end.sql.duplicate, end.sql.lost()) == (n("duplicate"), 0),
    },
    Case {
        alterations: &[("object-gone", 2), ("object-replaced", 3)],
        findings: &[Integrity::DanglingUnmarked, Integrity::Corrupt],
        check: |end, n| {
            (end.files.lost_create, end.dangling_unmarked) == (n("object-gone"), n("object-gone"))
                && end.files.corrupt == n("object-replaced")
                && end.sql.lost() == 0
        },
    },
    Case {
        alterations: &[
            ("early-create", 2),
            ("stale", 3),
            ("resurrect", 1),
            ("corrupt-value", 2),
            ("foreign", 1),
            ("duplicate", 2),
            ("object-gone", 1),
            ("object-replaced", 2),
        ],
        findings: &[
            Integrity::Hole,
            Integrity::Corrupt,
            Integrity::Phantom,
            Integrity::Duplicate,
            Integrity::DanglingUnmarked,
        ],
        check: |end, n| {
            (end.sql.lost_create, end.sql.stale, end.sql.resurrected) == (n("early-create"), n("stale"), n("resurrect"))
                && (end.sql.corrupt, end.sql.foreign, end.sql.duplicate)
                    == (n("corrupt-value"), n("foreign"), n("duplicate"))
                && (end.files.lost_create, end.files.corrupt) == (n("object-gone"), n("object-replaced"))
        },
    },
];

const TAMPERED: EnvironmentIndex = EnvironmentIndex(0);
const CONTROL: EnvironmentIndex = EnvironmentIndex(1);

#[tokio::test(flavor = "multi_thread")]
async fn every_alteration_is_called_by_its_name_and_counted() -> anyhow::Result<()> {
    let all: Vec<usize> = (0..CASES.len()).collect();
    for case in share("alterations", &all, 3).into_iter().map(|nth| &CASES[nth]) {
        let _turn = beside().await;
        let finished = run(case).await?;
        let told = finished.human();
        let what = format!("{:?}\n{told}", case.alterations);
        let end = last(&finished, TAMPERED);
        let count = |name: &str| case.alterations.iter().find(|(what, _)| *what == name).map_or(0, |(_, count)| *count);
        assert!((case.check)(end, &count), "{what}\n{:#?}\n{:#?}", end.sql, end.files);
        let mut found: Vec<Integrity> = finished
            .measures
            .findings
            .iter()
            .inspect(|finding| assert_eq!(finding.environment, TAMPERED, "{what}"))
            .map(|finding| finding.id)
            .collect();
        found.sort_unstable();
        found.dedup();
        for wanted in case.findings {
            assert!(found.contains(wanted), "{wanted:?} is not among {found:?}: {what}");
        }
        // An object altered in one region makes the regions differ as well, unless the store carries it over.
        let objects = case.alterations.iter().any(|(what, _)| what.starts_with("object-"));
        found.retain(|id| !(case.findings.contains(id) || objects && *id == Integrity::RegionsDiffer));
        assert!(found.is_empty(), "nobody did {found:?}: {what}");
        let control = last(&finished, CONTROL);
        let marks =
            [control.sql.lost(), control.files.lost(), control.sql.corrupt, control.files.corrupt, control.sql.foreign];
        assert!(marks == [0; 5] && control.sql.acked > 50, "{what}");
    }
    Ok(())
}

fn last(finished: &Finished, environment: EnvironmentIndex) -> &EventMeasures {
    let mut events = finished.measures.events.iter().rev();
    events.find(|event| event.environment == environment).expect("every environment has an end")
}

async fn run(case: &Case) -> anyhow::Result<Finished> {
    let tamper: PathBuf = example("tamper");
    let alterations: Vec<String> = case.alterations.iter().map(|(what, count)| format!(", {what}={count}")).collect();
    let text = format!(
        "geodrill: 1\nname: tampering\nenvironments: [ {{ id: sales, kind: dataverse-production }}, {{ id: books, kind: finops-production }} ]\n\
         workload: {{ rate: 60/s, writers: 4, mix: {{ create: 50, overwrite: 25, delete: 20, transfer: 5 }}, file_share: 20%, warm_up: 2s, settle: 1s }}\n\
         timeline:\n  - {{ id: tamper, when: {{ phase: quiesced }}, exec: {{ command: [\"{}\", EAST, SALES{}] }} }}\n\
         expect: [ {{ guarantee: integrity.split-brain }} ]\n",
        tamper.display(),
        alterations.concat(),
    );
    Ok(drill(Drill::from_text("tampering.yaml", &text, &std::env::temp_dir())?).run().await?)
}
