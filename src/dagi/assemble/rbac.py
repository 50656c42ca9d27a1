"""The rbac service (port 9200), put together."""

from dagi.assemble.identities import Linked
from dagi.assemble.installation import Installation, stack_version
from dagi.assemble.outside import read_outside
from dagi.assemble.readiness import access_dependencies
from dagi.assemble.services import built_callers, built_service
from dagi.assemble.signing import grant_signer
from dagi.assemble.world import World
from dagi.services.http1.service import Service
from dagi.services.operations import Operations
from dagi.services.rbac.audit import AuditFace
from dagi.services.rbac.daos import DaosFace
from dagi.services.rbac.decisions import DecisionsFace
from dagi.services.rbac.door import Door
from dagi.services.rbac.face import RbacFace
from dagi.services.rbac.identities import Identities, IdentitiesFace
from dagi.services.rbac.imports import ImportFace
from dagi.services.rbac.keys import KeysFace
from dagi.services.rbac.members import MembersFace
from dagi.services.rbac.proposals import ProposalsFace
from dagi.services.rbac.sources import SourcesFace
from dagi.stores.administration import SqlAdministration
from dagi.stores.audit import SqlAudit
from dagi.stores.imports import MemberImport
from dagi.stores.proposals import SqlProposals


def rbac_service(installation: Installation, world: World, url: str) -> Service:
    """The service's endpoints over what the process has opened."""
    callers = built_callers(installation, world.directory, world.clock)
    door = Door(callers, world.directory, world.clock)
    administration = SqlAdministration(world.database, world.clock)
    open_details = installation.loaded.settings.environment == "development"
    face = RbacFace(
        door=door,
        decisions=DecisionsFace(door, world.directory, world.denials, grant_signer(installation), world.clock),
        daos=DaosFace(door, administration),
        members=MembersFace(door, administration),
        keys=KeysFace(door, administration),
        audit=AuditFace(door, SqlAudit(world.database)),
        further=(
            *IdentitiesFace(door, _identities(installation, world)).endpoints(),
            *ProposalsFace(door, lambda by: SqlProposals(world.database, world.clock, by)).endpoints(),
            *SourcesFace(door, world.tokens.rules).endpoints(),
            *ImportFace(door, lambda by: MemberImport(world.database, world.clock, by)).endpoints(),
        ),
        operations=Operations(callers, access_dependencies(world.database, world.directory, world.denials), open_details=open_details),
        metrics=world.metrics.exposition,
        url=url,
        version=stack_version(),
    )
    return built_service(installation, world, face.table())


def _identities(installation: Installation, world: World) -> Identities:
    outside = read_outside(installation.loaded)
    linked = Linked(installation.loaded.settings, outside, world.database, world.clock, world.http, world.observer)
    return Identities(linking=linked.linking, persons=linked.persons, admin=linked.admin)
