// The peak of a process's memory (Linux).
import { readFile, writeFile } from 'node:fs/promises'

/** Peak of the resident memory in MB, since the start of the process or `resetPeak` (VmHWM). */
export async function peakMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

/** Sets the peak of a process to what it uses now (proc_pid_clear_refs(5)). */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5')
}
