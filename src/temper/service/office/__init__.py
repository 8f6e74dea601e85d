"""The office: what people decide, what they have granted and what is paused, kept by a blueprint of our own.

In:    requests of whoever the service has found to be a requester, an approver, an administrator or itself.
Out:   `Office`, which has them decided by a space of its own, and says what stands: grants and pauses in force.
Never: rules of its own. Who may answer, once, until when, and what is spent is `temper.blueprint`'s to say.
"""

from temper.service.office.office import NAME, Granted, Ground, Office, Paused
from temper.service.office.shipped import office_table, office_version, shipped_report

__all__ = ["NAME", "Granted", "Ground", "Office", "Paused", "office_table", "office_version", "shipped_report"]
