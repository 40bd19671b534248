// Shows the progress of an import on the standard error: a bar on a terminal, otherwise a line every few seconds.
import { Presets, SingleBar } from 'cli-progress'
import type { Tally } from './tally.ts'

const LINE_EVERY_MS = 5_000
const BAR_EVERY_MS = 200

export interface Progressing {
  readonly tally: Tally
  readonly isDryRun: boolean
  /** The size of the file and the bytes read so far. Undefined for a pipe, whose size is unknown. */
  readonly bytes: { readonly total: number; read(): number } | undefined
  /** The standard error if it is a terminal, otherwise undefined. */
  readonly terminal: NodeJS.WriteStream | undefined
  err(line: string): void
}

/** Returns a function that ends the display. */
export function showProgress({ tally, isDryRun, bytes, terminal, err }: Progressing): () => void {
  if (bytes !== undefined && terminal !== undefined) return showBar(tally, bytes, terminal)
  const timer = setInterval(() => err(`${tally.summary(isDryRun)} (${tally.rowsPerSecond}/s)`), LINE_EVERY_MS)
  return () => clearInterval(timer)
}

function showBar(tally: Tally, bytes: NonNullable<Progressing['bytes']>, stream: NodeJS.WriteStream): () => void {
  const bar = new SingleBar(
    { format: ' {bar} {percentage}% · {rows} rows · {rate}/s · {eta_formatted} left', stream },
    Presets.shades_classic,
  )
  const state = () => ({ rows: tally.rows.toLocaleString('en'), rate: tally.rowsPerSecond })
  bar.start(bytes.total, 0, state())
  const timer = setInterval(() => bar.update(bytes.read(), state()), BAR_EVERY_MS)
  return () => {
    clearInterval(timer)
    bar.update(bytes.read(), state())
    bar.stop()
  }
}
