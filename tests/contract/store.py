"""What every store keeps. A way inherits ``StoreContract`` and says how to open one on a clock."""

from tests.contract.stores.actions import Acting
from tests.contract.stores.deliver import Birth, Claiming, Finishing, Sweeping
from tests.contract.stores.desk import Desk
from tests.contract.stores.endpoints import Booking, Hastening, Stopping
from tests.contract.stores.errands import Errands
from tests.contract.stores.keeping import Counting, Opening
from tests.contract.stores.polling import Polling
from tests.contract.stores.project import Applying, Looking
from tests.contract.stores.replay import Meaning, Replaying
from tests.contract.stores.sealing import Sealing


class StoreContract(
    Looking, Applying, Birth, Claiming, Finishing, Sweeping, Stopping, Hastening, Booking, Errands, Acting, Desk, Polling, Meaning, Replaying, Sealing, Counting, Opening
):  # fmt: skip
    """The promise of ``gateway.store.Store``, on a hand-turned clock: one part for each of its subjects."""
