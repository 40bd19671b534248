// The overlay that the cluster test deploys, with the tag from IMS_TAG if set, and the images that it names.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serviceNames } from '@ims/accounts/suite'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { kubectl } from './kubectl.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const OVERLAY = join('kubernetes', 'overlays', 'single')
const OURS: readonly string[] = serviceNames

/** The directory to apply: the overlay itself or, with a tag, an overlay written to `directory` that sets `tag` on our images. */
export function overlayWithTag(tag: string | undefined, directory: string): string {
  const overlay = join(ROOT, OVERLAY)
  if (tag === undefined || tag === '') return overlay
  mkdirSync(directory, { recursive: true })
  const lines = [
    '# Written by `npm run test:cluster`.',
    'apiVersion: kustomize.config.k8s.io/v1beta1',
    'kind: Kustomization',
    `resources: [${JSON.stringify(relative(directory, overlay))}]`,
    'images:',
    ...OURS.map((service) => `  - { name: registry.invalid/ims/${service}, newTag: ${JSON.stringify(tag)} }`),
  ]
  writeFileSync(join(directory, 'kustomization.yaml'), `${lines.join('\n')}\n`)
  return directory
}

const container = z.object({ image: z.string() })
const podSpec = z.object({ containers: z.array(container), initContainers: z.array(container).default([]) })
const template = z.object({ spec: z.object({ template: z.object({ spec: podSpec }) }) })
const cronJob = z.object({ spec: z.object({ jobTemplate: template }) })

/** The images of all workloads. */
export function imagesIn(manifests: string): string[] {
  const images = parseAllDocuments(manifests).flatMap((document) => {
    const manifest: unknown = document.toJS()
    const found = template.safeParse(manifest).data ?? cronJob.safeParse(manifest).data?.spec.jobTemplate
    const { containers = [], initContainers = [] } = found?.spec.template.spec ?? {}
    return [...containers, ...initContainers].map(({ image }) => image)
  })
  return [...new Set(images)].sort()
}

export const rendered = async (overlay: string): Promise<string> => await kubectl(['kustomize', overlay])

/** The images of `wanted` that are not in `present`, which has full names, such as docker.io/library/mysql:8.4 for mysql:8.4. */
export function missingImages(present: readonly string[], wanted: readonly string[]): string[] {
  return wanted.filter((image) => !present.some((name) => name === image || name.endsWith(`/${image}`)))
}
