//! The files side on two real stores.

mod stage;

use std::time::{Duration, Instant};

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use self::stage::{Side, Stage};
use crate::{
    api::{
        Epoch,
        control::{FileReference, SalvagedObject},
        node::Answer,
    },
    clients::{poll, s3},
    platform::node::{
        files::{self, compare::Difference},
        state::Role,
        tests::{login, sales, spec},
    },
};

const WITHIN: Duration = Duration::from_secs(10);
/// Objects that are behind when a link heals.
const BACKLOG: usize = 1_000;

/// Content, type, metadata, tags and ETag of a version, by the store's own word.
async fn whole(side: &Side, key: &str, version: &str) -> (Vec<u8>, String, String, String, i64) {
    let client = s3::client(side.node.config.files.clone(), &side.node.config.files_root, WITHIN);
    let got = client.get_object().bucket("sales").key(key).version_id(version).send().await.unwrap();
    let tags = client.get_object_tagging().bucket("sales").key(key).version_id(version).send().await.unwrap();
    let about = format!("{:?} {:?} {:?}", got.content_type, got.metadata, tags.tag_set);
    let (etag, time) = (got.e_tag.unwrap(), got.last_modified.unwrap().secs());
    (got.body.collect().await.unwrap().to_vec(), about, etag, key.to_owned(), time)
}

async fn in_parts(side: &Side, key: &str) -> String {
    let (client, bucket) = (&side.customer, "sales");
    let upload = client.create_multipart_upload().bucket(bucket).key(key).content_type("text/parts").send().await;
    let upload = upload.unwrap().upload_id.unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (number, bytes) in [(1, 5 << 20), (2, 1000)] {
        let part = client.upload_part().bucket(bucket).key(key).upload_id(&upload).part_number(number);
        let part = part.body(vec![b'x'; bytes].into()).send().await.unwrap();
        parts = parts.parts(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
    }
    let done = client.complete_multipart_upload().bucket(bucket).key(key).upload_id(upload);
    done.multipart_upload(parts.build()).send().await.unwrap().version_id.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_cross_by_itself_is_brought_with_its_id_and_comes_out_the_same() {
    let mut stage = Stage::open().await;
    // The link is whole: the store's own replication brings everything, and the account is verified.
    for n in 0..20 {
        stage.put(&format!("crossed/{n}"), "body").await;
    }
    let old = stage.put("old", "purged while the link is down").await;
    let kept = stage.mark("crossed/3").await;
    stage.verified(WITHIN).await;
    assert_eq!(files::preflight_primary(&stage.east.node, &sales()).await.unwrap(), [] as [String; 0]);
    assert_eq!(files::preflight_standby(&stage.west.node, &sales()).await.unwrap(), [] as [String; 0]);

    // No proxy carries: the gate is not met, and says why.
    for proxy in 0..2 {
        stage.link("east", proxy, false).await;
    }
    let mut behind = Vec::new();
    for n in 0..BACKLOG {
        let key = format!("behind/{n}");
        behind.push((key.clone(), stage.put(&key, &format!("body {n}")).await));
    }
    for n in 0..5 {
        behind.push(("often".to_owned(), stage.put("often", &format!("content {n}")).await));
    }
    let tagged = stage.east.customer.put_object().bucket("sales").key("tagged").tagging("a=b%20c&d=e");
    let tagged = tagged.send().await.unwrap().version_id.unwrap();
    stage.push(crate::api::compute::AccountOperation::Put, "tagged", &tagged);
    behind.push(("tagged".to_owned(), tagged));
    let parts = in_parts(&stage.east, "parts").await;
    stage.push(crate::api::compute::AccountOperation::Put, "parts", &parts);
    behind.push(("parts".to_owned(), parts));
    let deleted = stage.put("deleted", "soon").await;
    behind.push(("deleted".to_owned(), deleted));
    stage.mark("deleted").await;
    let gone = stage.put("gone", "soon").await;
    stage.purge("gone", &gone).await;
    stage.purge("old", &old).await;
    stage.purge("crossed/3", &kept).await;
    let sealed = stage.sealed();
    let started = Instant::now();
    let held = files::await_files(&stage.east.node, &sales(), sealed, Duration::from_millis(700)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
    let Answer::Unmet { why } = held else { panic!("{held:?}") };
    assert!(why.contains("behind/0") && why.contains(&format!("of {sealed}")), "{why}");
    let reasons = files::preflight_primary(&stage.east.node, &sales()).await.unwrap();
    assert!(reasons.len() == 2 && reasons[0].contains("have not crossed"), "{reasons:?}");

    // One proxy carries, and it is not the one that the store here replicates by: the node brings everything itself.
    stage.link("east", 1, true).await;
    let started = Instant::now();
    let met = files::await_files(&stage.east.node, &sales(), sealed, Duration::from_secs(20)).await.unwrap();
    assert_eq!(met, Answer::Done);
    eprintln!("{} entries brought in {:?}", behind.len() + 5, started.elapsed());
    assert_eq!(stage.differences().await, [] as [Difference; 0]);
    for (key, version) in behind.iter().skip(BACKLOG - 3) {
        assert_eq!(whole(&stage.west, key, version).await, whole(&stage.east, key, version).await, "{key}");
    }
    assert_eq!(files::preflight_primary(&stage.east.node, &sales()).await.unwrap(), [] as [String; 0]);

    // The store's own replication comes late, and changes nothing.
    stage.link("east", 0, true).await;
    let late =
        poll::until("the store's own replication", Duration::from_secs(30), Duration::from_millis(500), || async {
            let version = stage.east.put("late", "late").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let west = stage.west.node.store.root();
            let found = west.head_object().bucket("sales").key("late").version_id(version).send().await;
            found.map(drop).map_err(|error| s3::classify(&error))
        });
    late.await.unwrap();
    // Listing makes it heal what it takes for behind.
    for _ in 0..3 {
        stage.differences().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let left: Vec<_> = stage.differences().await.into_iter().flat_map(|found| found.left).collect();
    assert!(left.iter().all(|version| version.object_key == "late"), "{left:?}");
    for (key, version) in behind.iter().skip(BACKLOG - 3) {
        assert_eq!(whole(&stage.west, key, version).await, whole(&stage.east, key, version).await, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_returning_store_is_salvaged_levelled_and_only_then_replicated_to() {
    let mut stage = Stage::open().await;
    let shared = stage.put("shared", "in both").await;
    stage.put("marked-late", "in both").await;
    stage.verified(WITHIN).await;
    // The east is lost with a few writes that had not crossed.
    for proxy in 0..2 {
        stage.link("east", proxy, false).await;
    }
    let stray = stage.put("stray", "only in the east").await;
    let over = stage.put("shared", "newer, only in the east").await;
    let marker = stage.mark("marked-late").await;
    // The west takes over: the east's key pair is revoked there, clients go on.
    let (east, west) = ("east".parse().unwrap(), "west".parse().unwrap());
    let started = Instant::now();
    stage.west.node.store.revoke(&spec(), &east).await.unwrap();
    eprintln!("revoked in {:?}", started.elapsed());
    let revoked = s3::client(stage.west.node.config.files.clone(), &login("from-east"), WITHIN);
    revoked.head_bucket().bucket("sales").send().await.unwrap_err();
    stage.east.is(Role::Primary(Epoch(1)), 2);
    stage.west.is(Role::Primary(Epoch(2)), 2);
    let fresh = stage.west.put("fresh", "only in the west").await;
    stage.west.mark("shared").await;
    for proxy in 0..2 {
        stage.link("east", proxy, true).await;
    }
    assert!(
        files::preflight_standby(&stage.west.node, &sales()).await.unwrap()[0].contains("may not write"),
        "a revoked key pair is found out"
    );

    // Salvage: exactly what is in the east alone, and evidence.
    let folder = stage.folder.path().join("salvage");
    assert_eq!(files::secure(&stage.east.node, &sales(), &folder).await.unwrap(), 3);
    let list = std::fs::read_to_string(folder.join("objects.ndjson")).unwrap();
    let salvaged: Vec<SalvagedObject> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> =
        salvaged.iter().map(|one| (one.object_key.as_str(), one.version_id.as_str(), one.delete_marker)).collect();
    assert_eq!(found, [("marked-late", &*marker, true), ("shared", &*over, false), ("stray", &*stray, false)]);
    let body = std::fs::read_to_string(folder.join(salvaged[2].file.as_ref().unwrap())).unwrap();
    assert_eq!((body.as_str(), salvaged[2].bytes, &salvaged[0].file), ("only in the east", 16, &None));
    let evidence = std::fs::read_to_string(folder.join("listing-live.ndjson")).unwrap();
    assert!(evidence.contains(&fresh) && !evidence.contains(&stray));

    // The returning side serves nothing that could be lost; the live side may not be returned to.
    files::return_files(&stage.west.node, &sales(), false).await.unwrap_err();
    stage.east.node.store.allow(&spec(), &west).await.unwrap();
    let returned = files::return_files(&stage.east.node, &sales(), false).await.unwrap();
    assert_eq!(returned, Answer::FilesReturned { removed: 3, copied: 2, gaps: vec![] });
    assert_eq!(stage.differences().await, [] as [Difference; 0]);
    assert_eq!(whole(&stage.west, "fresh", &fresh).await, whole(&stage.east, "fresh", &fresh).await);
    stage.west.node.store.replicate(&spec()).await.unwrap();
    // Clients go on meanwhile.
    let busy = stage.west.customer.clone();
    let writing = tokio::spawn(async move {
        for n in 0..60 {
            let put = busy.put_object().bucket("sales").key(format!("meanwhile/{n}")).body(b"x".to_vec().into());
            put.send().await.unwrap();
        }
    });
    let returned = files::return_files(&stage.east.node, &sales(), false).await.unwrap();
    writing.await.unwrap();
    let Answer::FilesReturned { removed: 0, gaps, .. } = &returned else { panic!("{returned:?}") };
    assert_eq!(gaps.len(), 0);
    level(&stage).await;
    // Done again, it finds nothing to do, and the salvage stands.
    let again = files::return_files(&stage.east.node, &sales(), false).await.unwrap();
    assert_eq!(again, Answer::FilesReturned { removed: 0, copied: 0, gaps: vec![] });
    assert_eq!(files::secure(&stage.east.node, &sales(), &folder).await.unwrap(), 3);
    // What the east takes now stays in the east: its rule is off. It is what a switch without loss may not find.
    let gap = stage.east.put("gap", "kept").await;
    let returned = files::return_files(&stage.east.node, &sales(), true).await.unwrap();
    let reference = FileReference { object_key: "gap".to_owned(), version_id: gap };
    assert_eq!(returned, Answer::FilesReturned { removed: 0, copied: 0, gaps: vec![reference.clone()] });
    let repaired = files::repair(&stage.west.node, &sales(), vec![reference]).await.unwrap();
    assert_eq!(repaired, Answer::Done);
    level(&stage).await;
    assert_eq!(files::preflight_primary(&stage.west.node, &sales()).await.unwrap(), [] as [String; 0]);

    // Back the other way: the rule that was taken off is made again.
    stage.west.node.store.allow(&spec(), &east).await.unwrap();
    stage.east.node.store.replicate(&spec()).await.unwrap();
    assert!(stage.differences().await.is_empty() && !shared.is_empty());
}

async fn level(stage: &Stage) {
    poll::until("both listings to be equal", WITHIN, Duration::from_millis(50), || async {
        let differences = stage.differences().await;
        if differences.is_empty() { Ok(()) } else { Err(format!("{differences:?}")) }
    })
    .await
    .unwrap();
}
