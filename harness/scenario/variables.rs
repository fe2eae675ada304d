//! The environment variables that an `exec` command gets, and which names would make two of them one.

use std::collections::BTreeMap;

use crate::api::{EnvironmentId, Region};

/// Variables whose names do not depend on the scenario.
pub const FIXED: [&str; 5] = [
    "GEODRILL_S3_ACCESS_KEY",
    "GEODRILL_S3_SECRET_KEY",
    "GEODRILL_CONTROL_URL",
    "GEODRILL_CONTROL_TOKEN",
    "GEODRILL_RUN_DIR",
];

/// `GEODRILL_SALES_SQL_URL`: the customer's own endpoint.
pub fn sql_url(environment: &EnvironmentId) -> String {
    variable(&[environment.as_str(), "SQL_URL"])
}

/// `GEODRILL_SALES_BUCKET`.
pub fn bucket(environment: &EnvironmentId) -> String {
    variable(&[environment.as_str(), "BUCKET"])
}

/// `GEODRILL_EAST_SALES_SQL_URL`: the region's own database, by the auditor's role.
pub fn region_sql_url(region: &Region, environment: &EnvironmentId) -> String {
    variable(&[region.as_str(), environment.as_str(), "SQL_URL"])
}

/// `GEODRILL_EAST_S3_ENDPOINT`: the region's own object store.
pub fn region_s3_endpoint(region: &Region) -> String {
    variable(&[region.as_str(), "S3_ENDPOINT"])
}

fn variable(parts: &[&str]) -> String {
    let mut name = String::from("GEODRILL");
    for part in parts {
        name.push('_');
        name.push_str(&part.to_ascii_uppercase().replace('-', "_"));
    }
    name
}

/// A variable that an environment would share with another one's, or with a fixed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collision {
    /// Place of the environment in the list given.
    pub environment: usize,
    /// The variable.
    pub variable: String,
    /// Who has it already.
    pub other: String,
}

/// The first collision of each environment with what stands before it.
pub(super) fn collisions(regions: &[Region; 2], environments: &[EnvironmentId]) -> Vec<Collision> {
    let mut taken: BTreeMap<String, String> =
        FIXED.iter().map(|name| ((*name).to_owned(), "the run itself".to_owned())).collect();
    for region in regions {
        taken.insert(region_s3_endpoint(region), format!("region `{region}`"));
    }
    let mut collisions = Vec::new();
    for (place, environment) in environments.iter().enumerate() {
        let mut names = vec![sql_url(environment), bucket(environment)];
        names.extend(regions.iter().map(|region| region_sql_url(region, environment)));
        let collision = names.iter().find_map(|name| taken.get_key_value(name));
        if let Some((variable, other)) = collision {
            collisions.push(Collision { environment: place, variable: variable.clone(), other: other.clone() });
        }
        taken.extend(names.into_iter().map(|name| (name, format!("environment `{environment}`"))));
    }
    collisions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(environments: &[&str]) -> Vec<(usize, String)> {
        let regions = ["east", "west"].map(|name| name.parse().unwrap());
        let environments: Vec<EnvironmentId> = environments.iter().map(|name| name.parse().unwrap()).collect();
        collisions(&regions, &environments).into_iter().map(|found| (found.environment, found.variable)).collect()
    }

    #[test]
    fn names_are_upper_case_with_underscores() {
        let region: Region = "north-east".parse().unwrap();
        assert_eq!(region_sql_url(&region, &"sales-eu".parse().unwrap()), "GEODRILL_NORTH_EAST_SALES_EU_SQL_URL");
    }

    #[test]
    fn two_names_that_make_one_variable_collide() {
        assert_eq!(check(&["sales", "books"]), []);
        assert_eq!(check(&["sales", "east-sales"]), [(1, "GEODRILL_EAST_SALES_SQL_URL".to_owned())]);
        assert_eq!(check(&["west-a", "b", "a"]), [(2, "GEODRILL_WEST_A_SQL_URL".to_owned())]);
    }
}
