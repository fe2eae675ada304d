//! SQL traffic: bytes, both ways, once the door for reading has seen that it is the reader who comes.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    door,
    doors::Inside,
    gate::{Gated, Pass},
    holder::Holder,
    startup,
    talk::Talk,
};
use crate::{
    api::route::{Door, DoorStore},
    platform::actor::{
        connection::{BUFFER_BYTES, accept, dial, reset_on_close},
        lease::{self, Denied},
        locked,
    },
};

/// How long the store may take to accept a connection.
const STORE_WITHIN: Duration = Duration::from_secs(2);
/// How long the last word to a client, and to the database, may take.
const GOODBYE_WITHIN: Duration = Duration::from_millis(100);
/// SQLSTATE `admin_shutdown`: drivers know that the connection is gone and that nothing of it was under way.
const ADMIN_SHUTDOWN: &str = "57P01";
/// A client's orderly end, as the database expects it.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// Serves the SQL port for ever.
pub async fn serve(holder: Arc<Holder>, listener: TcpListener) {
    loop {
        let stream = accept(&listener).await;
        tokio::spawn(carry(Arc::clone(&holder), stream));
    }
}

async fn carry(holder: Arc<Holder>, stream: TcpStream) {
    let Some(visitor) = door::admit(&holder, stream, DoorStore::Sql).await else { return };
    let Some(address) = holder.config.sql.get(usize::from(visitor.terms.slot)) else {
        return visitor.turn_away("the environment's slot is unknown here").await;
    };
    let mut store = match dial(address, STORE_WITHIN).await {
        Ok(store) => store,
        Err(error) => return visitor.turn_away(&format!("the database cannot be reached: {error}")).await,
    };
    let environment = visitor.environment.clone();
    let pass = visitor.pass().clone();
    let reader = visitor.terms.sql_reader.clone();
    let Some(mut client) = visitor.welcome().await else { return };
    let mut talk = Talk::default();
    if pass.door == Door::Ro {
        let startup = tokio::select! {
            biased;
            _ = lease::ended(pass.terms.clone(), pass.epoch, pass.door) => return client.cut(),
            // Whoever has not logged in has nothing under way.
            () = pass.inside.draining() => return goodbye(&mut client, &mut store).await,
            startup = startup::reader_alone(&mut client, &reader) => startup,
        };
        let passed_on = match startup {
            Ok(packet) => {
                talk.client_says(&packet);
                store.write_all(&packet).await.map_err(|error| error.to_string())
            }
            Err(refused) => Err(refused.to_string()),
        };
        if let Err(why) = passed_on {
            tracing::debug!(%environment, why, "not let in for reading");
            return;
        }
    }
    match relay(&mut client, &mut store, talk, &pass).await {
        End::Over => return,
        End::Idle => return goodbye(&mut client, &mut store).await,
        End::Broken(error) => tracing::trace!(%environment, %error, "connection ended"),
        End::Denied(denied) => tracing::debug!(%environment, %denied, "connection cut"),
        End::Cut => {
            pass.inside.note_cut();
            tracing::info!(%environment, "connection cut in the middle of something: the environment is stopped");
        }
    }
    // Whichever end broke, the other must learn of it, not read an orderly end.
    client.cut();
    reset_on_close(&store);
}

/// How a connection came to its end.
enum End {
    /// Both sides had said all.
    Over,
    Broken(io::Error),
    /// The permit did.
    Denied(Denied),
    /// The environment is stopped, and nothing was under way.
    Idle,
    /// The environment is stopped, and the time for what was under way is over.
    Cut,
}

/// What both directions know of the connection.
struct Shared {
    talk: Talk,
    /// Nothing of the client's passes any more.
    is_closed: bool,
}

impl Shared {
    /// Closes it to the client if nothing is under way.
    fn close_if_idle(&mut self) -> bool {
        self.is_closed |= self.talk.is_idle();
        self.is_closed
    }
}

/// Passes bytes until one side ends, the permit does, or the environment's stop.
async fn relay(client: &mut Gated, store: &mut TcpStream, talk: Talk, pass: &Pass) -> End {
    let shared = Mutex::new(Shared { talk, is_closed: false });
    let answered = Notify::new();
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_store, mut to_store) = store.split();
    let inside: &Inside = &pass.inside;
    let up = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_store.shutdown().await;
            }
            // Where the data-loss guard slows writes, whatever begins waits; what has begun is not held up.
            let pace = pass.pace();
            if !pace.is_zero() && locked(&shared).talk.is_idle() {
                sleep(pace).await;
            }
            {
                let mut shared = locked(&shared);
                // A request that comes after the stop is not begun; the client is told so.
                if shared.is_closed || (inside.is_draining() && shared.close_if_idle()) {
                    break;
                }
                shared.talk.client_says(&buffer[..read]);
            }
            to_store.write_all(&buffer[..read]).await?;
        }
        answered.notify_one();
        std::future::pending().await
    };
    let down = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_store.read(&mut buffer).await?;
            if read == 0 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&buffer[..read]).await?;
            locked(&shared).talk.server_says(&buffer[..read]);
            if inside.is_draining() {
                answered.notify_one();
            }
        }
    };
    let idle = async {
        inside.draining().await;
        while !locked(&shared).close_if_idle() {
            answered.notified().await;
        }
    };
    tokio::select! {
        biased;
        denied = lease::ended(pass.terms.clone(), pass.epoch, pass.door) => End::Denied(denied),
        () = inside.cut() => End::Cut,
        () = idle => End::Idle,
        ended = async { tokio::try_join!(up, down) } => match ended {
            Ok(_) => End::Over,
            Err(error) => End::Broken(error),
        },
    }
}

/// Tells an idle client why its connection ends, and the database that it does.
async fn goodbye(client: &mut Gated, store: &mut TcpStream) {
    let farewell = async {
        let word = startup::error_response(ADMIN_SHUTDOWN, "the environment is being switched");
        let (told, ended) = tokio::join!(client.write_all(&word), store.write_all(&TERMINATE));
        told.and(ended)?;
        client.shutdown().await
    };
    if !matches!(timeout(GOODBYE_WITHIN, farewell).await, Ok(Ok(()))) {
        client.cut();
    }
}
