//! The pinned servers, and which other versions of them are good enough.

/// A server that is built from the Go module registry where it is not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Tool {
    /// The object store.
    Minio,
    /// Its command-line client.
    Mc,
    /// The proxy that every link passes.
    Toxiproxy,
}

impl Tool {
    /// All of them, the quickest to build first.
    pub const ALL: [Tool; 3] = [Self::Toxiproxy, Self::Mc, Self::Minio];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minio => "minio",
            Self::Mc => "mc",
            Self::Toxiproxy => "toxiproxy",
        }
    }

    /// The variable that names a program to use instead.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Minio => "GEODRILL_MINIO",
            Self::Mc => "GEODRILL_MC",
            Self::Toxiproxy => "GEODRILL_TOXIPROXY",
        }
    }

    /// The program's file name, in the cache and on PATH.
    pub fn program(self) -> &'static str {
        match self {
            Self::Minio => "minio",
            Self::Mc => "mc",
            Self::Toxiproxy => "toxiproxy-server",
        }
    }

    /// The option that prints its version.
    pub fn version_option(self) -> &'static str {
        match self {
            Self::Minio | Self::Mc => "--version",
            Self::Toxiproxy => "-version",
        }
    }

    /// Its Go module.
    pub fn module(self) -> &'static str {
        match self {
            Self::Minio => "github.com/minio/minio",
            Self::Mc => "github.com/minio/mc",
            Self::Toxiproxy => "github.com/Shopify/toxiproxy/v2",
        }
    }

    /// The main package below the module.
    pub fn package(self) -> &'static str {
        match self {
            Self::Minio | Self::Mc => "",
            Self::Toxiproxy => "/cmd/server",
        }
    }

    /// The pinned version. MinIO's is the last commit of the archived project.
    pub fn pin(self) -> &'static str {
        match self {
            Self::Minio => "v0.0.0-20260212201848-7aac2a2c5b7c",
            Self::Mc => "v0.0.0-20250313080218-cf909e1063a9",
            Self::Toxiproxy => "v2.12.0",
        }
    }

    /// About how long its build takes on two cores.
    pub fn build_time(self) -> &'static str {
        match self {
            Self::Minio => "about 2 minutes",
            Self::Mc => "about 20 seconds",
            Self::Toxiproxy => "about 20 seconds",
        }
    }

    /// Whether a program of this version, found on PATH, may stand in for the pinned one. MinIO's replication calls are
    /// as used here since 2024; Toxiproxy's toxics are only known for 2.12.
    pub fn accepts(self, version: &str) -> bool {
        let bare = version.strip_prefix('v').unwrap_or(version);
        match self {
            Self::Minio | Self::Mc => ["RELEASE.", "DEVELOPMENT.", "0.0.0-"]
                .iter()
                .find_map(|prefix| bare.strip_prefix(prefix))
                .and_then(|date| date.get(..4)?.parse::<u32>().ok())
                .is_some_and(|year| year >= 2024),
            Self::Toxiproxy => bare.starts_with("2.12."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_is_acceptable_and_other_programs_of_that_name_are_not() {
        for tool in Tool::ALL {
            assert!(tool.accepts(tool.pin()), "{tool:?}");
            assert!(!tool.accepts("4.8.29"), "{tool:?}");
        }
        assert!(Tool::Minio.accepts("RELEASE.2025-09-07T16-13-09Z"));
        assert!(!Tool::Minio.accepts("RELEASE.2022-01-01T00-00-00Z"));
        assert!(!Tool::Toxiproxy.accepts("2.1.4"));
    }
}
