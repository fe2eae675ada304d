//! SQL traffic: bytes, both ways, once the door for reading has seen that it is the reader who comes.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncWriteExt, copy_bidirectional_with_sizes},
    net::{TcpListener, TcpStream},
};

use super::{door, holder::Holder, startup};
use crate::{
    api::route::{Door, DoorStore},
    platform::actor::{
        connection::{BUFFER_BYTES, accept, dial, reset_on_close},
        lease,
    },
};

/// How long the store may take to accept a connection.
const STORE_WITHIN: Duration = Duration::from_secs(2);

/// Serves the SQL port for ever.
pub async fn serve(holder: Arc<Holder>, listener: TcpListener) {
    loop {
        let stream = accept(&listener).await;
        tokio::spawn(carry(Arc::clone(&holder), stream));
    }
}

async fn carry(holder: Arc<Holder>, stream: TcpStream) {
    let Some(visitor) = door::admit(&holder, stream, DoorStore::Sql).await else { return };
    let Some(port) = holder.config.sql.get(usize::from(visitor.terms.slot)).copied() else {
        return visitor.turn_away("the environment's slot is unknown here").await;
    };
    let mut store = match dial(port, STORE_WITHIN).await {
        Ok(store) => store,
        Err(error) => return visitor.turn_away(&format!("the database cannot be reached: {error}")).await,
    };
    let environment = visitor.environment.clone();
    let pass = visitor.pass().clone();
    let reader = visitor.terms.sql_reader.clone();
    let Some(mut client) = visitor.welcome().await else { return };
    if pass.door == Door::Ro {
        let startup = tokio::select! {
            biased;
            _ = lease::ended(pass.terms.clone(), pass.epoch, pass.door) => return client.cut(),
            startup = startup::reader_alone(&mut client, &reader) => startup,
        };
        let passed_on = match startup {
            Ok(packet) => store.write_all(&packet).await.map_err(|error| error.to_string()),
            Err(refused) => Err(refused.to_string()),
        };
        if let Err(why) = passed_on {
            tracing::debug!(%environment, why, "not let in for reading");
            return;
        }
    }
    let denied = tokio::select! {
        biased;
        denied = lease::ended(pass.terms, pass.epoch, pass.door) => denied,
        ended = copy_bidirectional_with_sizes(&mut client, &mut store, BUFFER_BYTES, BUFFER_BYTES) => {
            if let Err(error) = ended {
                tracing::trace!(%environment, %error, "connection ended");
                // Whichever end broke, the other must learn of it, not read an orderly end.
                client.cut();
                reset_on_close(&store);
            }
            return;
        }
    };
    tracing::debug!(%environment, %denied, "connection cut");
    client.cut();
    reset_on_close(&store);
}
