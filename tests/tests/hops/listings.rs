//! An ERP that lists its records slowly, in small pages, or not as it should.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::HeaderName};
use serde_json::Value;
use shared::http::{Transport, TransportError};
use tests::{
    bundle::{Bundle, Options},
    in_process::InProcess,
};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const NEXT: &str = "@odata.nextLink";

/// What becomes of the place in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next page follows.
    Kept,
    /// It is unknown as soon as it is asked for.
    Forgotten,
    /// Every page but the first names itself as the next one.
    Same,
    /// The second and the third page name each other.
    InCircles,
}

/// The way to an ERP whose listings are spoiled. Everything else is as it is.
pub(crate) struct Listings {
    simulator: InProcess,
    rows: usize,
    time: Duration,
    place: Place,
    pages: Mutex<Vec<String>>,
}

impl Listings {
    /// A bundle with such an ERP: so many rows in a page, and so long for each page.
    pub(crate) fn bundle(options: &Options, rows: usize, time: Duration, place: Place) -> Bundle {
        Bundle::with_transport(options, |router: Router| {
            Arc::new(Self {
                simulator: InProcess::new(router),
                rows,
                time,
                place,
                pages: Mutex::default(),
            })
        })
    }

    /// Where the page after this one is, instead of where the simulator says.
    fn next(&self, of: &str, next: &str) -> String {
        let mut pages = self.pages.lock().unwrap();
        match self.place {
            Place::Same if !pages.is_empty() => return of.to_owned(),
            Place::InCircles if pages.len() == 2 => {
                let other = pages.iter().find(|page| *page != of).unwrap();
                return other.clone();
            }
            _ => {}
        }
        pages.push(next.to_owned());
        next.to_owned()
    }
}

#[async_trait]
impl Transport for Listings {
    async fn send(
        &self,
        mut request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let asks_for = |rows: &HeaderValue| rows == "odata.maxpagesize=500";
        // Records are asked for by their ids in such pages, too.
        let by_id = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("filter="));
        if by_id || !request.headers().get(PREFER).is_some_and(asks_for) {
            return self.simulator.send(request, timeout).await;
        }
        let rows = format!("odata.maxpagesize={}", self.rows);
        request.headers_mut().insert(PREFER, rows.parse().unwrap());
        tokio::time::sleep(self.time).await;
        let url = request.uri().to_string();
        if self.place == Place::Forgotten && url.contains("skiptoken") {
            let response = Response::builder().status(StatusCode::BAD_REQUEST);
            return Ok(response.body(Bytes::new()).unwrap());
        }
        let response = self.simulator.send(request, timeout).await?;
        Ok(response.map(|body| {
            let Ok(mut page) = serde_json::from_slice::<Value>(&body) else {
                return body;
            };
            match page[NEXT].as_str().map(|next| self.next(&url, next)) {
                Some(next) => page[NEXT] = next.into(),
                None => return body,
            }
            page.to_string().into()
        }))
    }
}
