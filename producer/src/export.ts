// The program `export`: writes all items to a file. Runs in this image or by `npm run export`. See docs/import-export.md.
import { runProgram } from '@ims/runtime'
import { EXPORT_USAGE, parseExportArguments } from './items-file/arguments.ts'
import { exportItems } from './items-file/export-items.ts'
import { runItemsProgram } from './items-file/run-items-program.ts'
import { apiEnvironment } from './items-file/settings.ts'

void runProgram({ api: apiEnvironment }, (program) =>
  runItemsProgram(program, EXPORT_USAGE, parseExportArguments, (request) =>
    exportItems(request, program.config.api, program),
  ),
)
