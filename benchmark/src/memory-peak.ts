// The peak memory of a process (Linux).
import { readFile, writeFile } from 'node:fs/promises'

/** The peak of the resident memory in MB since the process started, or since `resetPeak` (VmHWM). */
export async function peakMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

/** Resets the peak of a process to its current memory (proc_pid_clear_refs(5)). */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5')
}
