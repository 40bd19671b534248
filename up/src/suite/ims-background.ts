// The supervisor of `npm run up -- --detach`.
import { superviseInBackground } from './background.ts'
import { imsSuite } from './ims.ts'

void superviseInBackground(imsSuite(process.env))
