//! Pages of lists and their cursors.

use raftwork_api::kernel::{FunctionId, MapId};
use raftwork_kernel::Seq;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ApiResult};
use super::read::Read;

const LIMIT_DEFAULT: u16 = 100;
const LIMIT_MAX: u16 = 1000;
/// Rows looked at for one page, so that a filter that few rows pass cannot scan everything in one request.
const SCANNED_MAX: usize = 10_000;

/// Query of a list that has no filter.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Most items in the answer, 1 to 1000; 100 if left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    // Each list describes its own: cursors differ.
    #[param(ignore)]
    pub(super) after: Option<String>,
    /// How fresh the answer must be.
    #[serde(default)]
    #[param(inline)]
    pub(super) read: Read,
}

impl PageQuery {
    /// Most items in the answer.
    pub(super) fn limit(&self) -> ApiResult<usize> {
        limit_of(self.limit)
    }

    /// Where the page begins, as the list's cursors say it.
    pub(super) fn after<C>(&self, parse: impl FnOnce(&str) -> ApiResult<C>) -> ApiResult<Option<C>> {
        self.after.as_deref().map(parse).transpose()
    }
}

/// One page: its items, and the last one looked at if there may be more.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<T>,
}

impl<T: Clone> Page<T> {
    /// Takes up to `limit` items; `None` stands for a row that does not pass the filter.
    pub(super) fn fill(limit: usize, rows: impl Iterator<Item = Option<T>>) -> Self {
        let mut page = Self { items: Vec::new(), next: None };
        for row in rows {
            if page.items.len() == limit {
                page.next = page.items.last().cloned();
                break;
            }
            page.items.extend(row);
        }
        page
    }
}

/// Rows up to the bound on one page; `cut` learns where it was cut.
pub(super) fn bounded<T: Copy>(
    rows: impl Iterator<Item = T>,
    cut: &mut Option<T>,
) -> impl Iterator<Item = T> {
    let mut scanned = 0;
    rows.map_while(move |row| {
        scanned += 1;
        if scanned > SCANNED_MAX {
            return None;
        }
        *cut = (scanned == SCANNED_MAX).then_some(row);
        Some(row)
    })
}

/// Checks a `limit`.
pub(super) fn limit_of(limit: Option<u16>) -> ApiResult<usize> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit.into()),
        limit => Err(ApiError::bad_request(format!("limit = {limit} is not between 1 and {LIMIT_MAX}"))),
    }
}

pub(super) fn task_cursor(seq: Seq) -> String {
    format!("t{:x}", seq.0)
}

pub(super) fn parse_task_cursor(text: &str) -> ApiResult<Seq> {
    let seq = text.strip_prefix('t').and_then(|hex| u64::from_str_radix(hex, 16).ok());
    seq.map(Seq).ok_or_else(|| no_cursor(text))
}

pub(super) fn function_cursor(id: FunctionId) -> String {
    format!("f{}", id.as_uuid().simple())
}

pub(super) fn parse_function_cursor(text: &str) -> ApiResult<FunctionId> {
    text.strip_prefix('f').and_then(|id| id.parse().ok()).ok_or_else(|| no_cursor(text))
}

pub(super) fn map_cursor(id: MapId) -> String {
    format!("m{}", id.as_uuid().simple())
}

pub(super) fn parse_map_cursor(text: &str) -> ApiResult<MapId> {
    text.strip_prefix('m').and_then(|id| id.parse().ok()).ok_or_else(|| no_cursor(text))
}

pub(super) fn no_cursor(text: &str) -> ApiError {
    let text: String = text.chars().take(64).collect();
    ApiError::bad_request(format!("after = '{text}' is not what this list gave as next"))
}

/// Runs a scan of the store where it may block.
pub(super) async fn blocking<T: Send + 'static>(scan: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(scan).await {
        Ok(scanned) => scanned,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whether_there_may_be_more() {
        let rows = || (1..=5).map(|n| (n % 2 == 1).then_some(n));
        let page = Page::fill(2, rows());
        assert_eq!((page.items, page.next), (vec![1, 3], Some(3)));
        let page = Page::fill(3, rows());
        assert_eq!((page.items, page.next), (vec![1, 3, 5], None));
    }

    #[test]
    fn a_long_scan_is_cut_and_says_where() {
        let mut cut = None;
        assert_eq!(bounded(0..20_000, &mut cut).count(), SCANNED_MAX);
        assert_eq!(cut, Some(SCANNED_MAX - 1));
        let mut cut = None;
        assert_eq!(bounded(0..20, &mut cut).count(), 20);
        assert_eq!(cut, None);
    }

    #[test]
    fn cursors_read_back_and_nothing_else_does() {
        assert_eq!(parse_task_cursor(&task_cursor(Seq(255))).ok(), Some(Seq(255)));
        let id = FunctionId::from_u128(77);
        assert_eq!(parse_function_cursor(&function_cursor(id)).ok(), Some(id));
        let map = MapId::of(id.as_uuid());
        assert_eq!(parse_map_cursor(&map_cursor(map)).ok(), Some(map));
        for text in ["", "t", "tzz", "fxyz", "mxyz", "255"] {
            assert!(parse_task_cursor(text).is_err() && parse_function_cursor(text).is_err(), "{text}");
            assert!(parse_map_cursor(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_have_limits() {
        assert_eq!(limit_of(None).ok(), Some(100));
        assert!(limit_of(Some(0)).is_err() && limit_of(Some(1001)).is_err());
    }
}
