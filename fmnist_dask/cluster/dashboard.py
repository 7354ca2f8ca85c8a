"""A page of runs in Dask's own dashboard: preloaded by the schedulers that we start.

Dask imports preloads before it makes the dashboard's routes, and calls their ``dask_setup`` after. So the page is put
in place when this module is imported. The names that it hangs on are no stable interface: where one is missing, there
is no page, and ``fmnist-dask watch`` tells the same story.
"""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)

#: Name of the page, in its address and in the navigation.
PAGE = "workflows"


def add_page() -> bool:
    """Add the page to the dashboards that this process will make; whether this distributed has a place for it."""
    try:
        from distributed.dashboard import scheduler as dashboard

        from fmnist_dask.cluster.dashboard_page import workflows_document

        if f"/{PAGE}" in dashboard.applications:
            return True
        variables = dashboard.template_variables

        def with_page(scheduler: Any) -> Any:
            found = variables(scheduler)  # the same dict each time
            if PAGE not in found["pages"]:
                found["pages"].insert(1, PAGE)
            return found

        dashboard.applications[f"/{PAGE}"] = workflows_document
        dashboard.template_variables = with_page
    except (ImportError, AttributeError, TypeError, KeyError) as error:
        logger.debug("no page of runs in the dashboard: %s", error)
        return False
    return True


def dask_setup(scheduler: Any) -> None:
    """Nothing is left to do: see above."""


add_page()
