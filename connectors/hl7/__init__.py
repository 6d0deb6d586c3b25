"""Hospital HL7 v2 over MLLP: admissions, merges, appointments, orders, and the news that a report is ready."""

from connectors.hl7.listener import Listener
from connectors.hl7.options import HL7Options
from gateway.connector import Can, Card, Text, Topic
from gateway.model.lane import Lane

__all__ = ["CARD"]

CARD = Card(
    name="hl7",
    title=Text("医院接口(HL7 v2)", "Hospital interface (HL7 v2)"),
    can=frozenset({Can.RECEIVE}),
    options=HL7Options,
    topics=(
        Topic(
            name="adt",
            title=Text("入院、门诊登记与病人资料", "Admissions, registrations and demographics"),
            mapping="adt",
        ),
        Topic(name="merge", title=Text("病人合并", "Patient merges"), mapping="merge"),
        Topic(name="siu", title=Text("预约", "Appointments"), mapping="siu"),
        Topic(name="orm", title=Text("医嘱", "Orders"), mapping="orm"),
        Topic(name="oru", title=Text("报告已出", "Reports that are ready"), mapping="oru"),
        Topic(name="other", title=Text("收下而不解读的消息", "Messages kept but not read"), lane=Lane.BULK),
    ),
    open=Listener,
)
