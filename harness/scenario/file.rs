//! The file as a whole: version, name, regions, environments, and the order in which the parts are decoded.

use std::path::Path;

use super::{
    catalogue::Catalogue,
    diagnostic::Diagnostics,
    expect,
    fields::{Fields, Sink},
    platform, scalars, timeline,
    tree::{self, Node, Value},
    variables, workload,
};
use crate::{
    api::{EnvironmentId, Region, Zone, environment::EnvironmentKind},
    model::{
        link::Link,
        plan::{EnvironmentPlan, Plan, Processors, Regions},
        process::ProcessName,
    },
};

/// Fields of the file.
pub(super) const FIELDS: [&str; 10] =
    ["geodrill", "name", "about", "regions", "platform", "environments", "workload", "timeline", "expect", "seed"];
/// Fields of `regions`.
pub(super) const REGION_FIELDS: [&str; 4] = ["primary", "secondary", "zones", "processors"];
/// Fields of `processors`, where the regions differ.
pub(super) const PROCESSORS_FIELDS: [&str; 2] = ["primary", "secondary"];
/// Fields of an environment.
pub(super) const ENVIRONMENT_FIELDS: [&str; 2] = ["id", "kind"];
/// Sites that are no region.
const OTHER_SITES: [&str; 3] = ["client", "edge", "witness"];
/// More environments than a laptop can run.
pub(super) const ENVIRONMENTS_MAX: usize = 16;

/// Reads a scenario: the plan, or everything that is wrong with it.
///
/// `name` stands in messages for the file; `folder` is where its `exec` commands run.
pub fn parse(name: &str, text: &str, folder: &Path, catalogue: &Catalogue) -> Result<Plan, Diagnostics> {
    let mut sink = Sink::new(text);
    let plan = match tree::read(text) {
        Ok(root) => decode(&root, folder, catalogue, &mut sink),
        Err(error) => {
            sink.errors.push(error);
            None
        }
    };
    match plan {
        Some(plan) if sink.errors.is_empty() => Ok(plan),
        _ => Err(Diagnostics::new(name, text, sink.errors)),
    }
}

/// What the parts of a file may refer to. A part that could not be decoded is `None`, and nothing is checked against it, so
/// that one mistake is not told many times.
pub(super) struct Context<'a> {
    pub catalogue: &'a Catalogue,
    pub regions: Option<Regions>,
    pub environments: Option<Vec<Known>>,
    pub links: Option<Vec<Link>>,
    pub processes: Option<Vec<ProcessName>>,
}

/// An environment as far as it could be decoded.
pub(super) struct Known {
    pub id: EnvironmentId,
    /// The kind that it is deployed as.
    pub kind: Option<EnvironmentKind>,
    /// The kind that a step makes of it.
    pub becomes: Option<EnvironmentKind>,
}

impl Known {
    /// Whether it is, or comes to be, of a kind that is meant; one whose kind could not be decoded may be of any.
    pub fn comes_to_be(&self, is_meant: impl Fn(EnvironmentKind) -> bool) -> bool {
        self.kind.is_none_or(|kind| is_meant(kind) || self.becomes.is_some_and(is_meant))
    }
}

fn decode(root: &Node, folder: &Path, catalogue: &Catalogue, sink: &mut Sink<'_>) -> Option<Plan> {
    if root.value == Value::Null {
        sink.error_with(&root.span, "the file is empty", Some("begin with `geodrill: 1`".to_owned()));
        return None;
    }
    let fields = Fields::open(root, "a scenario", &FIELDS, sink)?;
    version(&fields, sink);
    let name = fields.require("name", sink).and_then(|node| scalars::name(node, sink));
    let about = fields.get("about", sink).and_then(|node| scalars::text(node, sink));
    let regions = match fields.get("regions", sink) {
        Some(node) => decode_regions(node, catalogue, sink),
        None => decode_regions(&Node { span: 0..0, value: Value::Map(Vec::new()) }, catalogue, sink),
    };
    let environments = fields.require("environments", sink).and_then(|node| decode_environments(node, sink));
    let pair = regions.as_ref().map(|regions| [regions.primary.clone(), regions.secondary.clone()]);
    if let (Some(pair), Some(environments)) = (&pair, &environments) {
        refuse_collisions(pair, environments, sink);
    }
    let converted = timeline::converted(root);
    let known = |(_, id, kind): &Environment<'_>| {
        let upgraded = kind.and_then(|kind| kind.upgrades_to());
        let becomes = upgraded.filter(|_| converted.iter().any(|name| name == id.as_str()));
        Known { id: id.clone(), kind: *kind, becomes }
    };
    let known: Option<Vec<_>> = environments.as_ref().map(|list| list.iter().map(known).collect());
    let ids: Vec<EnvironmentId> = known.iter().flatten().map(|known| known.id.clone()).collect();
    let context = Context {
        catalogue,
        links: regions.as_ref().map(catalogue.links),
        processes: regions.as_ref().zip(known.as_ref()).map(|(regions, _)| (catalogue.processes)(regions, &ids)),
        regions: regions.clone(),
        environments: known,
    };
    let platform = platform::decode(&fields, sink);
    let workload = workload::decode(&fields, sink);
    let (timeline, outlines) = timeline::decode(&fields, &context, sink);
    let expect = expect::decode(&fields, &context, &outlines, sink);
    let seed = fields.get("seed", sink).and_then(|node| scalars::count(node, 0..=u64::MAX, sink));
    Some(Plan {
        name: name?.to_owned(),
        about: about.map(str::to_owned),
        folder: folder.to_owned(),
        regions: regions?,
        platform: platform?,
        environments: environments?
            .into_iter()
            .map(|(_, id, kind)| Some(EnvironmentPlan { id, kind: kind? }))
            .collect::<Option<_>>()?,
        workload: workload?,
        timeline,
        expect,
        seed,
    })
}

fn version(fields: &Fields<'_>, sink: &mut Sink<'_>) {
    let Some(node) = fields.require("geodrill", sink) else { return };
    if node.value != Value::Int(1) {
        sink.error_with(
            &node.span,
            "this version of the file's grammar is not known",
            Some("this program reads `geodrill: 1`".to_owned()),
        );
    }
}

fn decode_regions(node: &Node, catalogue: &Catalogue, sink: &mut Sink<'_>) -> Option<Regions> {
    let fields = Fields::open(node, "`regions`", &REGION_FIELDS, sink)?;
    let region = |field: &str, default: &str, sink: &mut Sink<'_>| -> Option<Region> {
        let Some(node) = fields.get(field, sink) else { return default.parse().ok() };
        let name = scalars::name(node, sink)?;
        if OTHER_SITES.contains(&name) {
            sink.error(&node.span, format!("`{name}` is a site of its own and cannot name a region"));
            return None;
        }
        if let Some(names) = catalogue.regions.filter(|names| !names.contains(&name)) {
            let there =
                format!("the testbed {} has the regions {} and no others", catalogue.testbed, names.join(" and "));
            sink.error(&node.span, format!("`{name}` is no region there: {there}"));
            return None;
        }
        name.parse().ok()
    };
    let primary = region("primary", "east", sink);
    let secondary = region("secondary", "west", sink);
    let zones = match fields.get("zones", sink) {
        Some(node) => decode_zones(node, sink),
        None => Some(ZONES[0]),
    };
    // What is wrong with the quotas hides nothing of the rest.
    let quotas = fields.get("processors", sink).map(|node| decode_processors(node, sink));
    let processors = quotas.as_ref().and_then(Clone::clone);
    let regions = Regions { primary: primary?, secondary: secondary?, zones: zones?, processors };
    let span = fields.key("secondary").or(fields.key("primary")).unwrap_or(fields.span());
    if regions.primary == regions.secondary {
        sink.error(span, format!("both regions are named `{}`", regions.primary));
        return None;
    }
    if let Some((region, of)) = collision(&regions) {
        let message = format!("the region `{region}` is named like the site of a zone of `{of}`");
        sink.error_with(span, message, Some("give one of the regions another name".to_owned()));
        return None;
    }
    quotas.is_none_or(|decoded| decoded.is_some()).then_some(regions)
}

/// How many zones a region can have.
pub(super) const ZONES: [u8; 2] = [1, 3];

fn decode_zones(node: &Node, sink: &mut Sink<'_>) -> Option<u8> {
    let count = scalars::count(node, 0..=u64::MAX, sink)?;
    let found = ZONES.into_iter().find(|zones| u64::from(*zones) == count);
    if found.is_none() {
        let why = "of three zones two are left when one is lost, which is a majority; of two there is none";
        let message = format!("a region has one zone or three, not {count}");
        sink.error_with(&node.span, message, Some(why.to_owned()));
    }
    found
}

/// A region that bears the name of a site of the other one's, and that other one.
fn collision(regions: &Regions) -> Option<(&Region, &Region)> {
    let (one, other) = (&regions.primary, &regions.secondary);
    [(one, other), (other, one)].into_iter().find(|(region, of)| {
        let mut sites = Zone::all(regions.zones).map(|zone| zone.site(of));
        sites.any(|site| site == region.as_str())
    })
}

/// One quota for both regions, or one for each.
fn decode_processors(node: &Node, sink: &mut Sink<'_>) -> Option<Processors> {
    if !matches!(node.value, Value::Map(_)) {
        let milli = scalars::processors(node, sink)?;
        return Some(Processors { primary_milli: milli, secondary_milli: milli });
    }
    let fields = Fields::open(node, "`processors`", &PROCESSORS_FIELDS, sink)?;
    let [primary, secondary] =
        PROCESSORS_FIELDS.map(|field| fields.require(field, sink).and_then(|node| scalars::processors(node, sink)));
    Some(Processors { primary_milli: primary?, secondary_milli: secondary? })
}

type Environment<'n> = (&'n Node, EnvironmentId, Option<EnvironmentKind>);

fn decode_environments<'n>(node: &'n Node, sink: &mut Sink<'_>) -> Option<Vec<Environment<'n>>> {
    let Value::List(items) = &node.value else {
        sink.wrong_type(node, "a list of environments");
        return None;
    };
    if items.is_empty() || items.len() > ENVIRONMENTS_MAX {
        sink.error(&node.span, format!("a scenario has 1 to {ENVIRONMENTS_MAX} environments, not {}", items.len()));
    }
    let mut list: Vec<Environment<'_>> = Vec::new();
    let mut whole = true;
    for item in items {
        let Some(fields) = Fields::open(item, "an environment", &ENVIRONMENT_FIELDS, sink) else {
            whole = false;
            continue;
        };
        let id_node = fields.require("id", sink);
        let id: Option<EnvironmentId> =
            id_node.and_then(|node| scalars::name(node, sink)).and_then(|name| name.parse().ok());
        let kinds = EnvironmentKind::ALL.map(EnvironmentKind::as_str);
        let kind = fields
            .require("kind", sink)
            .and_then(|node| scalars::word(node, "kind of environment", &kinds, sink))
            .and_then(|word| EnvironmentKind::ALL.into_iter().find(|kind| kind.as_str() == word));
        match id_node.zip(id) {
            Some((node, id)) if list.iter().any(|(_, earlier, _)| *earlier == id) => {
                sink.error(&node.span, format!("there is an environment `{id}` already"));
            }
            Some((node, id)) => list.push((node, id, kind)),
            None => whole = false,
        }
    }
    whole.then_some(list)
}

fn refuse_collisions(regions: &[Region; 2], environments: &[Environment<'_>], sink: &mut Sink<'_>) {
    let ids: Vec<EnvironmentId> = environments.iter().map(|(_, id, _)| id.clone()).collect();
    for found in variables::collisions(regions, &ids) {
        let (node, id, _) = &environments[found.environment];
        let message = format!("`{id}` would share the variable {} of commands with {}", found.variable, found.other);
        sink.error_with(&node.span, message, Some("give one of them another name".to_owned()));
    }
}
