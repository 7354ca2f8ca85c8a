"""A page of runs in Dask's own dashboard: preloaded by the schedulers that we start.

A scheduler imports its preloads before it makes the dashboard's routes, and calls their ``dask_setup`` long after. So
the page is put in place when this module is imported. The names that it hangs on are no stable interface: where one is
missing or has become another thing, there is no page, and ``fmnist-dask watch`` tells the same story.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

logger = logging.getLogger(__name__)

#: Name of the page, in its address and in the navigation.
PAGE = "workflows"


def add_page() -> bool:
    """Add the page to the dashboards that this process will make; whether this distributed has a place for it."""
    # Whatever goes wrong here would keep the scheduler from starting, which no page is worth.
    try:
        from distributed.dashboard import scheduler as dashboard

        from fmnist_dask.cluster.dashboard_page import workflows_document

        applications, variables = dashboard.applications, dashboard.template_variables
        if f"/{PAGE}" not in applications:
            applications[f"/{PAGE}"] = workflows_document
            dashboard.template_variables = _with_page(variables)
    except Exception as error:
        logger.debug("no page of runs in the dashboard: %s: %s", type(error).__name__, error)
        return False
    return True


def _with_page(variables: Any) -> Any:
    """Dask's function that says what is in the navigation, with our page in it, beside the first."""

    @functools.wraps(variables)
    def with_page(*args: Any, **kwargs: Any) -> Any:
        found = variables(*args, **kwargs)  # the same dict each time
        try:
            if PAGE not in found["pages"]:
                found["pages"].insert(1, PAGE)
        except Exception as error:
            logger.debug("the page of runs is not in the navigation: %s: %s", type(error).__name__, error)
        return found

    return with_page


def dask_setup(scheduler: Any) -> None:
    """Nothing is left to do: see above."""


add_page()
