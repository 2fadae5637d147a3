"""What a phone is: its parameters, with the literature's figures as defaults."""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.guest.parameters import parameter, share


@dataclass(frozen=True)
class PhoneParameters:
    """Parameters of phone. Identical pages: so many that of all pages of apps, with graphics, 14 % are alike, and of
    services 3 %. Source: MemScope, APSys 2015.
    """

    zygote_share: float = share(0.05, "of memory that is the zygote's heap: apps have it by fork, so it is there once")
    app_share: float = share(0.035, "of memory that an app takes on average: heap, stack and graphics")
    services: int = parameter(4, "", "services: small processes that always run and are never killed", high=100)
    service_share: float = share(0.008, "of memory that each service takes")
    installed: int = parameter(20, "", "apps that the user chooses from, under a Zipf law", low=2, high=120)
    identical: float = share(0.20, "pages of an app's heap that others have too, before it stores into them")
    identical_services: float = share(0.03, "pages of a service's heap that others have too")
    zeros: float = share(0.3, "of the identical pages that are all zero, or one word all over")
    similar: float = share(0.30, "pages of a heap that are a zygote's page with a few words changed")
    changed_words: int = parameter(6, "", "8-byte words that differ in a similar page", low=1, high=256)
    graphics: float = share(0.15, "of an app's pages that are graphics buffers")
    text_pages: int = parameter(64, "", "pages that an app maps of its file, and of each of two libraries", low=1)
    switch_s: float = parameter(6.0, "s", "how long an app stays in the foreground", low=0.1)
    launch_mib_s: float = parameter(60.0, "MiB/s", "how fast a started app fills its memory", low=0.001)
    hot: float = share(0.15, "of a heap, at its start, that is written while in the foreground")
    hot_mib_s: float = parameter(2.0, "MiB/s", "hot pages rewritten by the foreground app")
    frames_mib_s: float = parameter(8.0, "MiB/s", "graphics rewritten by the foreground app")
    stores_s: float = parameter(200.0, "1/s", "stores of 8 bytes into the foreground app's hot pages")
    settle_s: float = parameter(2.0, "s", "how long an app goes on storing into its hot pages in the background")
    zygote_reads_s: float = parameter(1000.0, "1/s", "pages of the zygote's heap read by the foreground app")
    service_stores_s: float = parameter(20.0, "1/s", "stores of 8 bytes into the first pages of all services")
    resume_share: float = share(0.5, "of a heap that is read when its app comes back to the foreground")
