//! What a cluster's own settings say of it.

/// The port in a text of settings; of several, the last counts.
pub(super) fn port(settings: &str) -> Option<u16> {
    let lines = settings.lines().rev().filter_map(|line| line.split_once('='));
    lines.filter(|(name, _)| name.trim() == "port").find_map(|(_, value)| {
        let value = value.split('#').next().unwrap_or_default();
        value.trim().trim_matches('\'').parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_port_counts() {
        assert_eq!(port("port = 5432\nsuperport = 1\nport='20001' # ours\nlisten_addresses = ''\n"), Some(20_001));
        assert_eq!(port("# port = 5432\n"), None);
    }
}
