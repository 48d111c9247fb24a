"""The browser of missing features as a page of widgets.

    from fac_lab.display.browser import browser
    browser(open_world(Lab.open("mini")))

CSS classes that stay, for tests and styles (all below `.fl-browser`): `fl-status` what is loading, done or wrong;
`fl-numbers`, `fl-threshold`, `fl-support`, `fl-support-rule`, `fl-scope`; `fl-search`, `fl-status-filter`,
`fl-relevant-filter`, `fl-verdict-filter`, `fl-domain-filter`, `fl-edited-filter` (check boxes with `data-key`),
`fl-frequency-filter`, `fl-scored-filter`, `fl-score-filter`, `fl-more`, `fl-clear`, `fl-among`; `fl-order`,
`fl-descending`, `fl-list` (rows `tr[data-key="17"]`), `fl-before`, `fl-place`, `fl-behind`; `fl-views` with
`fl-scatter`, `fl-map`, `fl-curve`, `fl-rows`, `fl-row-features`, `fl-read-rows`, `fl-beside`, `fl-compare`,
`fl-comparison`, `fl-only-a`, `fl-only-b`; `fl-panel` with `fl-feature`: `fl-head`, `fl-histogram`, `fl-load`,
`fl-spans`, `fl-nearest`, `fl-lens`, `fl-link`; `fl-acting`: `fl-name`, `fl-try`, `fl-try-it`, `fl-trial`,
`fl-samples`, `fl-accept`, `fl-reject`, `fl-measure`, `fl-write`, `fl-written`, `fl-edit-summary`, `fl-save-summary`,
`fl-edit-verdict`, `fl-save-verdict`, `fl-undo`, `fl-redo`, `fl-refresh`, `fl-history`; `fl-exchange`: `fl-export`,
`fl-files`, `fl-download`, `fl-labels`, `fl-import`.
"""

from fac_lab.display.browser.page import BrowserPage, browser
from fac_lab.display.browser.static import static_browser

__all__ = ["BrowserPage", "browser", "static_browser"]
