// All migrations, oldest first. Never change a released migration. Add a new one.
import { CreateInventory1764000000001 } from './1764000000001-create-inventory.ts'
import { AdoptPythonInventory1764000000002 } from './1764000000002-adopt-python-inventory.ts'
import { CreateInbox1764000000003 } from './1764000000003-create-inbox.ts'
import { InboxError1764000000004 } from './1764000000004-inbox-error.ts'
import { IndexLabel1764000000005 } from './1764000000005-index-label.ts'
import { CreateMovement1764000000006 } from './1764000000006-create-movement.ts'

export const migrations = [
  CreateInventory1764000000001,
  AdoptPythonInventory1764000000002,
  CreateInbox1764000000003,
  InboxError1764000000004,
  IndexLabel1764000000005,
  CreateMovement1764000000006,
]
