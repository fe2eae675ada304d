//! `salvage`: what a region alone had when it came back.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    args::{Format, Salvage},
    entry::{complain, print, print_json},
    exit::Exit,
    operate::{named, order_failed},
};
use crate::{
    api::control,
    lab::salvage::{self, SalvageError},
};

/// Prints the list, and fetches all that is on it if there is a folder to put it.
pub(super) async fn salvage(arguments: Salvage) -> Exit {
    let (lab, id) = match named(arguments.lab.as_deref(), &arguments.environment) {
        Ok(named) => named,
        Err(exit) => return exit,
    };
    let list = match salvage::list(&lab, &id).await {
        Ok(list) => list,
        Err(error) => return order_failed(&error),
    };
    if let Some(folder) = &arguments.into {
        match salvage::fetch(&lab, &id, &list, folder).await {
            Ok(()) => {}
            Err(SalvageError::Platform(error)) => return order_failed(&error),
            Err(error @ SalvageError::NotEmpty(_)) => {
                complain(&error.to_string());
                return Exit::Invalid;
            }
            Err(error @ SalvageError::Io { .. }) => {
                complain(&error.to_string());
                return Exit::Internal;
            }
        }
    }
    match arguments.format {
        Format::Json => print_json(&list),
        Format::Human => {
            let mut text = told(&arguments.environment, &list);
            if let Some(folder) = &arguments.into {
                writeln!(
                    text,
                    "in {}: rows.ndjson, objects.ndjson, and the bodies that the latter names",
                    folder.display()
                )
                .unwrap_or_default();
            }
            print(&text)
        }
    }
}

fn told(id: &str, list: &control::Salvage) -> String {
    let mut tables: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &list.rows {
        *tables.entry(&row.table).or_default() += 1;
    }
    let markers = list.objects.iter().filter(|object| object.delete_marker).count();
    let mut text = format!(
        "{id}: {} rows, {} objects and {markers} delete markers were in the region alone that came back last\n",
        list.rows.len(),
        list.objects.len() - markers
    );
    for (table, rows) in tables {
        writeln!(text, "  {table}  {rows} rows").unwrap_or_default();
    }
    for object in list.objects.iter().filter(|object| !object.delete_marker) {
        writeln!(text, "  {}  {} bytes", object.object_key, object.bytes).unwrap_or_default();
    }
    text
}
