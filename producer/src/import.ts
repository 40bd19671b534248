// The program `import`: sends the items of a file to the API. Runs in this image or by `npm run import`. See docs/import-export.md.
import { runProgram } from '@ims/runtime'
import { IMPORT_USAGE, parseImportArguments } from './items-file/arguments.ts'
import { importItems } from './items-file/import-items.ts'
import { runItemsProgram } from './items-file/run-items-program.ts'
import { apiEnvironment } from './items-file/settings.ts'

void runProgram({ api: apiEnvironment }, (program) =>
  runItemsProgram(program, IMPORT_USAGE, parseImportArguments, (request) =>
    importItems(request, program.config.api, program),
  ),
)
