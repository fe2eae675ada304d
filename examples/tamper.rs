//! Alters the final state behind the harness's back, as an `exec` step of a scenario may: the tests use it to show that what
//! is altered is found and called by its name. It also shows how a command of one's own reads the variables it gets.
//!
//! `tamper REGION ENVIRONMENT WHAT=COUNT...`, such as `tamper EAST SALES corrupt-value=3 duplicate=2`. No row is altered
//! twice. What can be altered:
//! `last-create` (the newest row of all and its history), `early-create` (rows and history, later ones stay), `stale` (rows
//! put back to the token before), `resurrect` (deleted keys' rows put back), `corrupt-value`, `corrupt-hash`, `foreign` (rows
//! of tokens that nobody issued), `duplicate` (history rows copied), `object-gone` (all versions of objects that rows refer
//! to), `object-replaced` (another body under the version that a row pins).

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail};
use aws_sdk_s3::{Client, primitives::ByteStream};
use geodrill::{api::environment::Login, clients::s3, model::Token};
use sqlx::{Connection, PgConnection, Row};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(region), Some(environment)) = (arguments.next(), arguments.next()) else {
        bail!("usage: tamper REGION ENVIRONMENT WHAT=COUNT...");
    };
    let mut tampering = Tampering::connect(&region, &environment).await?;
    for argument in arguments {
        let (what, count) = argument.split_once('=').context("write WHAT=COUNT")?;
        let count = count.parse().context("COUNT is a number")?;
        let done = tampering.alter(what, count).await.with_context(|| what.to_owned())?;
        if done != count {
            bail!("{what}: only {done} of {count} could be altered");
        }
    }
    Ok(())
}

struct Tampering {
    sql: PgConnection,
    files: Client,
    bucket: String,
    used: BTreeSet<String>,
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

impl Tampering {
    async fn connect(region: &str, environment: &str) -> Result<Self> {
        let endpoint = variable(&format!("GEODRILL_{region}_S3_ENDPOINT"))?;
        let port = endpoint.rsplit(':').next().context("an endpoint has a port")?.parse::<u16>()?;
        let login = Login { user: variable("GEODRILL_S3_ACCESS_KEY")?, secret: variable("GEODRILL_S3_SECRET_KEY")? };
        Ok(Self {
            sql: PgConnection::connect(&variable(&format!("GEODRILL_{region}_{environment}_SQL_URL"))?).await?,
            files: s3::client(port, &login, Duration::from_secs(10)),
            bucket: variable(&format!("GEODRILL_{environment}_BUCKET"))?,
            used: BTreeSet::new(),
        })
    }

    async fn alter(&mut self, what: &str, count: usize) -> Result<usize> {
        // Every query gives the key first, then what the alteration needs.
        let query = match what {
            "last-create" => {
                "select d.key, d.token from geodrill_data d join geodrill_history h using (token) order by h.xmin::text::bigint desc"
            }
            "early-create" => {
                "select d.key, d.token from geodrill_data d join geodrill_history h using (token) \
                 where (select count(*) from geodrill_history o where o.key = d.key) = 1 order by h.xmin::text::bigint"
            }
            "stale" => {
                "select d.key, d.prev from geodrill_data d where d.prev is not null and d.object_key is null order by d.key"
            }
            "resurrect" => {
                "select h.key, h.prev from geodrill_history h where h.key <> '' and h.prev is not null \
                 and not exists (select from geodrill_data d where d.key = h.key) \
                 and not exists (select from geodrill_history n where n.prev = h.token) order by h.key"
            }
            "corrupt-value" => "select key, token from geodrill_data where object_key is null order by key",
            "corrupt-hash" => "select key, token from geodrill_data where object_key is not null order by key",
            "duplicate" => "select key, token from geodrill_history where key <> '' order by key",
            "object-gone" | "object-replaced" => {
                "select key, object_key, version_id from geodrill_data where object_key is not null order by key"
            }
            "foreign" => return self.add_foreign(count).await,
            other => bail!("`{other}` is nothing that can be altered"),
        };
        let mut done = 0;
        for row in sqlx::query(query).fetch_all(&mut self.sql).await? {
            let key: String = row.get(0);
            if done == count || !self.used.insert(key.clone()) {
                continue;
            }
            match what {
                "object-gone" => self.remove_object(row.get(1)).await?,
                "object-replaced" => self.replace_object(row.get(1), row.get(2)).await?,
                row_of => self.alter_row(row_of, &key, row.get(1)).await?,
            }
            done += 1;
        }
        Ok(done)
    }

    async fn alter_row(&mut self, what: &str, key: &str, token: String) -> Result<()> {
        let statements: &[&str] = match what {
            "last-create" | "early-create" => &[
                "delete from geodrill_history where token = $2 and key = $1",
                "delete from geodrill_data where token = $2 and key = $1",
            ],
            "stale" => &["update geodrill_data set token = $2, prev = null, value = $3 where key = $1"],
            "resurrect" => &["insert into geodrill_data (key, token, value) values ($1, $2, $3)"],
            "corrupt-value" => &["update geodrill_data set value = 'altered' where key = $1 and token = $2"],
            "corrupt-hash" => &["update geodrill_data set sha256 = reverse(sha256) where key = $1 and token = $2"],
            _ => &[
                "insert into geodrill_history select token, key, prev from geodrill_history where key = $1 and token = $2 limit 1",
            ],
        };
        let value = token.parse::<Token>().map(|token| token.value()).unwrap_or_default();
        for statement in statements {
            let mut query = sqlx::query(*statement).bind(key).bind(&token);
            if statement.contains("$3") {
                query = query.bind(&value);
            }
            let altered = query.execute(&mut self.sql).await?.rows_affected();
            if altered != 1 {
                bail!("{altered} rows altered by: {statement}");
            }
        }
        Ok(())
    }

    async fn add_foreign(&mut self, count: usize) -> Result<usize> {
        for number in 0..count {
            let (key, token) = (format!("foreign-{number}"), format!("nobody-issued-{number}"));
            sqlx::query("insert into geodrill_history (token, key) values ($1, $2)")
                .bind(&token)
                .bind(&key)
                .execute(&mut self.sql)
                .await?;
            sqlx::query("insert into geodrill_data (key, token, value) values ($1, $2, 'x')")
                .bind(&key)
                .bind(&token)
                .execute(&mut self.sql)
                .await?;
        }
        Ok(count)
    }

    async fn remove_object(&self, object: String) -> Result<()> {
        let listed = self.files.list_object_versions().bucket(&self.bucket).prefix(&object).send().await?;
        let versions = listed.versions().iter().filter_map(|version| version.version_id());
        let markers = listed.delete_markers().iter().filter_map(|marker| marker.version_id());
        for version in versions.chain(markers) {
            self.files.delete_object().bucket(&self.bucket).key(&object).version_id(version).send().await?;
        }
        Ok(())
    }

    /// The store takes a version id from a client that may replicate, which the auditor may.
    async fn replace_object(&self, object: String, version: String) -> Result<()> {
        self.files
            .put_object()
            .bucket(&self.bucket)
            .key(&object)
            .body(ByteStream::from_static(b"altered"))
            .customize()
            .mutate_request(move |request| {
                let joined = if request.uri().contains('?') { '&' } else { '?' };
                let uri = format!("{}{joined}versionId={version}", request.uri());
                // A URI with one more query is a URI.
                request.set_uri(uri).unwrap_or_default();
            })
            .send()
            .await?;
        Ok(())
    }
}
