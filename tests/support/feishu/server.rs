//! HTTP: who asks for what.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use hyper::body::Incoming;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use tokio::net::TcpListener;

use super::super::mock::http::{self, Dropped, MAX_BODY, bearer, broken, converse, header};
use super::super::mock::{Knowledge as _, Request};
use super::api::{self, Asking, Reply};
use super::{Shared, socket};

/// Serves Feishu until the mock ends.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = Arc::clone(&shared);
        shared.spawn(async move {
            let answer = service_fn(|request| respond(Arc::clone(&service), request));
            converse(stream, answer).await;
        });
    }
}

async fn respond(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    if request.uri().path() == "/ws/v2" {
        return socket::upgrade(&shared, request).ok_or(Dropped);
    }
    let (head, body) = request.into_parts();
    let body: Bytes = to_bytes(Body::new(body), MAX_BODY)
        .await
        .map_err(|_| Dropped)?;
    let path = head.uri.path().to_owned();
    let reply = shared.update(|state| {
        let found = api::find(&head.method, &path);
        state.common_mut().requests.push(Request {
            at: Instant::now(),
            method: found.as_ref().map(|(spec, _)| spec.name.to_owned()),
            path: path.clone(),
            headers: http::all(&head.headers),
            body: body.to_vec(),
        });
        let Some((spec, ids)) = found else {
            state.violation(format!("nothing is at {} {path}", head.method));
            return Reply::missing();
        };
        let asking = Asking {
            query: head.uri.query().unwrap_or_default(),
            bearer: bearer(&head.headers),
            content_type: header(&head.headers, CONTENT_TYPE.as_str()),
            body: &body,
        };
        api::answer(state, spec, ids, &asking)
    });
    match reply {
        Reply::Json {
            status,
            wait,
            value,
        } => {
            let status = StatusCode::from_u16(status).expect("a status");
            let mut response = Response::builder()
                .status(status)
                .header(CONTENT_TYPE, "application/json; charset=utf-8")
                .header("X-Tt-Logid", "20260517101112A0B1C2D3E4F5");
            if let Some(seconds) = wait {
                response = response
                    .header("x-ogw-ratelimit-limit", "50")
                    .header("x-ogw-ratelimit-reset", seconds.to_string());
            }
            Ok(response
                .body(Body::from(value.to_string()))
                .expect("a response"))
        }
        Reply::Content { name, bytes } => Ok(Response::builder()
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(
                CONTENT_DISPOSITION,
                format!("attachment; filename=\"{}\"", name.escape_default()),
            )
            .body(Body::from(bytes))
            .expect("a response")),
        Reply::Broken(status) => Ok(broken(status)),
        Reply::Drop => Err(Dropped),
        Reply::Silence => std::future::pending().await,
    }
}
