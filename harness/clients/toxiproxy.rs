//! One Toxiproxy server. `toxiproxy_rust` blocks, and panics on some failures, so it lives on a thread of its own; it never
//! looks at a status, so whatever is set is read back here. The calls it lacks (`reset_peer`, named toxics, updates,
//! removal of a single toxic) go over the same HTTP API, typed. Every call has a deadline: a proxy whose upstream never
//! answers can make Toxiproxy itself hang, and the caller must then discard it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use toxiproxy_rust::{client::Client, proxy::ProxyPack};

use super::error::chain;
use crate::api::Address;

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToxiproxyError {
    /// No answer in time: the server may hang for as long as it lives.
    #[error("toxiproxy did not answer `{call}` within {within:?}")]
    Hung {
        /// The call.
        call: String,
        /// Its deadline.
        within: Duration,
    },
    /// It answered with an error, or could not be reached.
    #[error("toxiproxy failed to {call}: {why}")]
    Failed {
        /// The call.
        call: String,
        /// Reason.
        why: String,
    },
    /// It answered that all is well, and what it then showed was something else.
    #[error("toxiproxy said yes to `{call}` and then showed {shown}")]
    NotSet {
        /// The call.
        call: String,
        /// What was read back.
        shown: String,
    },
}

/// A proxy as it is to be, or as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyState {
    /// Name, without a slash.
    pub name: String,
    /// `ADDRESS:PORT` it listens on.
    pub listen: String,
    /// `HOST:PORT` it leads to.
    pub upstream: String,
    /// Whether it accepts connections.
    pub enabled: bool,
    /// What it does to them.
    #[serde(default)]
    pub toxics: Vec<Toxic>,
}

impl ProxyState {
    /// A proxy without toxics, which listens at `ADDRESS:PORT` or `NAME:PORT`.
    pub fn new(name: impl Into<String>, listen: impl fmt::Display, upstream: &Address, enabled: bool) -> Self {
        let (listen, upstream) = (listen.to_string(), upstream.to_string());
        Self { name: name.into(), listen, upstream, enabled, toxics: Vec::new() }
    }

    /// Whether it listens there. Of "every address" the server speaks as IPv6 does, of a name by the address that it has.
    fn is_at(&self, listen: &str) -> bool {
        let Ok(found) = self.listen.parse::<SocketAddr>() else { return self.listen == listen };
        match listen.parse::<SocketAddr>() {
            Ok(wanted) if wanted.ip().is_unspecified() => found.ip().is_unspecified() && found.port() == wanted.port(),
            Ok(wanted) => found == wanted,
            Err(_) => listen.parse::<Address>().is_ok_and(|named| named.port() == found.port()),
        }
    }

    fn from_crate(pack: &ProxyPack) -> Self {
        let toxics = pack
            .toxics
            .iter()
            .map(|toxic| Toxic {
                name: toxic.name.clone(),
                kind: toxic.r#type.clone(),
                stream: toxic.stream.clone(),
                attributes: toxic.attributes.iter().map(|(name, value)| (name.clone(), u64::from(*value))).collect(),
            })
            .collect();
        Self {
            name: pack.name.clone(),
            listen: pack.listen.clone(),
            upstream: pack.upstream.clone(),
            enabled: pack.enabled,
            toxics,
        }
    }
}

/// A toxic of toxicity 1: chance is never Toxiproxy's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toxic {
    /// Name, unique in its proxy.
    pub name: String,
    /// `latency`, `bandwidth`, `timeout`, `reset_peer`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// `upstream` (from the client) or `downstream` (to it).
    pub stream: String,
    /// Attributes by name, such as `latency` in milliseconds.
    pub attributes: BTreeMap<String, u64>,
}

/// A client of one server. Cheap to clone.
#[derive(Clone)]
pub struct Toxiproxy {
    address: SocketAddr,
    http: reqwest::Client,
    thread: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
}

type Job = Box<dyn FnOnce(&Client) + Send>;

impl Toxiproxy {
    /// A client of the server whose API is at `127.0.0.1:port`. Nothing is sent yet.
    pub fn at(port: u16) -> Self {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap_or_default();
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), http, thread: Arc::default() }
    }

    /// The server's version; `git` for one built from the module registry.
    ///
    /// # Errors
    /// [`ToxiproxyError`].
    pub async fn version(&self, within: Duration) -> Result<String, ToxiproxyError> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let text = self.blocking("tell its version", within, |client| client.version()).await?;
        // Servers up to 2.5 answered plain text.
        Ok(serde_json::from_str::<Version>(&text).map_or(text, |version| version.version))
    }

    /// Makes all these proxies, and reads back that they are there as asked for.
    ///
    /// # Errors
    /// [`ToxiproxyError`].
    pub async fn populate(&self, proxies: &[ProxyState], within: Duration) -> Result<(), ToxiproxyError> {
        let call = "make proxies";
        let packs: Vec<ProxyPack> = proxies
            .iter()
            .map(|proxy| ProxyPack {
                enabled: proxy.enabled,
                ..ProxyPack::new(proxy.name.clone(), proxy.listen.clone(), proxy.upstream.clone())
            })
            .collect();
        // A port that is taken answers 4xx with a body that the crate cannot read: its own error then says little.
        let made = self.blocking(call, within, move |client| client.populate(packs).map(|_| ())).await;
        let shown = self.list(within).await?;
        for proxy in proxies {
            let bare = ProxyState { toxics: Vec::new(), ..proxy.clone() };
            match shown.get(&proxy.name) {
                Some(found)
                    if found.is_at(&bare.listen) && *found == (ProxyState { listen: found.listen.clone(), ..bare }) => {
                }
                found => {
                    made?;
                    let shown = format!("{found:?} for {}", proxy.name);
                    return Err(ToxiproxyError::NotSet { call: call.to_owned(), shown });
                }
            }
        }
        Ok(())
    }

    /// Every proxy with its toxics, by name.
    ///
    /// # Errors
    /// [`ToxiproxyError`].
    pub async fn list(&self, within: Duration) -> Result<BTreeMap<String, ProxyState>, ToxiproxyError> {
        self.blocking("list proxies", within, |client| {
            let all = client.all()?;
            Ok(all.into_iter().map(|(name, proxy)| (name, ProxyState::from_crate(&proxy.proxy_pack))).collect())
        })
        .await
    }

    /// Opens or closes a proxy; closed, it refuses new connections and ends those that are there.
    ///
    /// # Errors
    /// [`ToxiproxyError`].
    pub async fn switch(&self, proxy: &str, enabled: bool, within: Duration) -> Result<(), ToxiproxyError> {
        let call = format!("{} {proxy}", if enabled { "open" } else { "close" });
        let body = BTreeMap::from([("enabled", enabled)]);
        let shown: ProxyState =
            self.http(Method::POST, &format!("/proxies/{proxy}"), Some(&body), &call, within).await?;
        if shown.enabled == enabled { Ok(()) } else { Err(not_set(call, &shown)) }
    }

    /// Lets a proxy lead to another port. Its connections end.
    ///
    /// # Errors
    /// [`ToxiproxyError`].
    pub async fn redirect(&self, proxy: &ProxyState, within: Duration) -> Result<(), ToxiproxyError> {
        let call = format!("lead {} to {}", proxy.name, proxy.upstream);
        let body = BTreeMap::from([("listen", &proxy.listen), ("upstream", &proxy.upstream)]);
        let path = format!("/proxies/{}", proxy.name);
        let shown: ProxyState = self.http(Method::POST, &path, Some(&body), &call, within).await?;
        if shown.upstream == proxy.upstream { Ok(()) } else { Err(not_set(call, &shown)) }
    }

    /// Adds a toxic, and reads back that the proxy has it with every attribute (misspelt ones are answered with 200 and do
    /// nothing).
    ///
    /// # Errors
    /// [`ToxiproxyError`].
    pub async fn add_toxic(&self, proxy: &str, toxic: &Toxic, within: Duration) -> Result<(), ToxiproxyError> {
        let call = format!("add {} to {proxy}", toxic.name);
        let path = format!("/proxies/{proxy}/toxics");
        let _: Toxic = self.http(Method::POST, &path, Some(toxic), &call, within).await?;
        let shown: Toxic =
            self.http(Method::GET, &format!("{path}/{}", toxic.name), None::<&()>, &call, within).await?;
        if shown == *toxic { Ok(()) } else { Err(not_set(call, &shown)) }
    }

    /// Removes every toxic of a proxy, one by one, and reads back that none is left.
    ///
    /// # Errors
    /// [`ToxiproxyError`].
    pub async fn remove_toxics(&self, proxy: &str, within: Duration) -> Result<(), ToxiproxyError> {
        let call = format!("remove the toxics of {proxy}");
        let path = format!("/proxies/{proxy}/toxics");
        let toxics: Vec<Toxic> = self.http(Method::GET, &path, None::<&()>, &call, within).await?;
        for toxic in toxics {
            let path = format!("{path}/{}", toxic.name);
            self.http::<Option<()>>(Method::DELETE, &path, None::<&()>, &call, within).await?;
        }
        let left: Vec<Toxic> = self.http(Method::GET, &path, None::<&()>, &call, within).await?;
        if left.is_empty() { Ok(()) } else { Err(not_set(call, &left)) }
    }

    /// One call of the crate on its thread. A thread that does not answer in time is left to end by itself (the crate gives
    /// up after 30 s), and the next call gets another.
    async fn blocking<T: Send + 'static>(
        &self,
        call: &str,
        within: Duration,
        work: impl FnOnce(&Client) -> Result<T, String> + Send + 'static,
    ) -> Result<T, ToxiproxyError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |client| {
            // The crate panics where it cannot read a response; the thread must outlive that.
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| work(client)));
            let _ = answer.send(done.unwrap_or_else(|_| Err("unreadable response".to_owned())));
        });
        let failed = |why: String| ToxiproxyError::Failed { call: call.to_owned(), why };
        self.hand_over(job).map_err(failed)?;
        match tokio::time::timeout(within, answered).await {
            Ok(Ok(done)) => done.map_err(failed),
            Ok(Err(_)) => Err(failed("the client's thread has ended".to_owned())),
            Err(_) => {
                *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(ToxiproxyError::Hung { call: call.to_owned(), within })
            }
        }
    }

    fn hand_over(&self, job: Job) -> Result<(), String> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (jobs, queue) = mpsc::channel::<Job>();
            let address = self.address;
            std::thread::Builder::new()
                .name("toxiproxy".to_owned())
                .spawn(move || {
                    let client = Client::new(address);
                    queue.into_iter().for_each(|job| job(&client));
                })
                .map_err(|error| error.to_string())?;
            *thread = Some(jobs);
        }
        let sent = thread.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            *thread = None;
        }
        if sent { Ok(()) } else { Err("the client's thread has ended".to_owned()) }
    }

    async fn http<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        call: &str,
        within: Duration,
    ) -> Result<T, ToxiproxyError> {
        let failed = |why: String| ToxiproxyError::Failed { call: call.to_owned(), why };
        let lost = |error: reqwest::Error| {
            if error.is_timeout() {
                ToxiproxyError::Hung { call: call.to_owned(), within }
            } else {
                failed(chain(&error))
            }
        };
        let mut request = self.http.request(method, format!("http://{}{path}", self.address)).timeout(within);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(lost)?;
        if !status.is_success() {
            return Err(failed(format!("{status}: {}", String::from_utf8_lossy(&bytes))));
        }
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|error| failed(format!("unexpected body: {error}")))
    }
}

fn not_set(call: String, shown: &impl std::fmt::Debug) -> ToxiproxyError {
    ToxiproxyError::NotSet { call, shown: format!("{shown:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_proxy_listens_is_read_back_as_the_server_says_it() {
        let at = |shown: &str, wanted: &str| ProxyState::new("p", shown, &Address::from(1), true).is_at(wanted);
        assert!(at("127.0.0.1:80", "127.0.0.1:80") && at("[::]:80", "0.0.0.0:80"));
        assert!(at("10.213.5.11:80", "in-east-2:80"));
        for (shown, wanted) in [
            ("127.0.0.1:80", "127.0.0.1:81"),
            ("127.0.0.1:80", "127.0.0.2:80"),
            ("127.0.0.1:80", "0.0.0.0:80"),
            ("10.213.5.11:81", "in-east-2:80"),
            ("10.213.5.11:80", "in-east-2"),
        ] {
            assert!(!at(shown, wanted), "{shown} is not {wanted}");
        }
    }
}
