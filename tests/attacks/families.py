"""The corpus: every case, under the name of its family and with its own domains."""

from tests.attacks.attack import Attack
from tests.attacks.corpus import (
    actions,
    authentication,
    automatic,
    digests,
    diversions,
    domains,
    from_bytes,
    from_fields,
    relays,
    replays,
    results,
    traces,
    triggers,
)

FAMILIES: dict[str, tuple[Attack, ...]] = {
    name: tuple(attack.apart() for attack in attacks)
    for name, attacks in {
        "From: fields and addresses": from_fields.ATTACKS,
        "From: bytes and line ends": from_bytes.ATTACKS,
        "look-alike domains": domains.ATTACKS,
        "forged traces": traces.ATTACKS,
        "authentication": authentication.ATTACKS,
        "relays": relays.ATTACKS,
        "replays": replays.ATTACKS,
        "results that name nothing": results.ATTACKS,
        "machines": automatic.ATTACKS,
        "triggers": triggers.ATTACKS,
        "diversions": diversions.ATTACKS,
        "actions": actions.ATTACKS,
        "digests": digests.ATTACKS,
    }.items()
}
ATTACKS = tuple(attack for attacks in FAMILIES.values() for attack in attacks)
