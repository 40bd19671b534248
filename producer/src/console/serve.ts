// Serves the console (`/`), `/docs`, the files of both, and /openapi.json. They contain no data, so they need no API key.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { Problem, sendProblem } from '../http/problem.ts'
import { pathOf, type Step } from '../http/step.ts'
import { CONSOLE_FILES, type ConsoleFile, type ConsoleFiles } from './files.ts'

/** The paths of the console in the log and the metrics. */
export const CONSOLE_ROUTES = ['/', '/docs', '/openapi.json', `${CONSOLE_FILES}:file`] as const

/** The policy of the pages: they load files from this server only, and run no inline scripts. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const ALLOW = 'GET, HEAD, OPTIONS'
const FOR_EVER = 'public, max-age=31536000, immutable'
/** Browsers keep the file, but check its ETag before each use. */
const CHECKED = 'no-cache'

/** Responds to requests for the console, and passes on all others. For programs other than browsers, `/` returns links as JSON. */
export function serveConsole(
  { console, documentation, openapi, hashed }: ConsoleFiles,
  apiPaths: readonly string[],
): Step {
  const links = JSON.stringify({ console: '/', documentation: '/docs', openapi: '/openapi.json', paths: apiPaths })
  return (request, response) => {
    const path = pathOf(request)
    const file =
      path === '/' ? console : path === '/docs' ? documentation : path === '/openapi.json' ? openapi : hashed.get(path)
    if (file === undefined) return true
    const { method } = request
    if (method === 'OPTIONS') response.writeHead(200, { Allow: ALLOW, 'Content-Length': '0' }).end()
    else if (method !== 'GET' && method !== 'HEAD') {
      const detail = `${path} does not support ${method}. It supports ${ALLOW}.`
      sendProblem(response, new Problem(405, 'method-not-allowed', detail, { headers: { Allow: ALLOW } }))
    } else if (path === '/' && !wantsHtml(request.headers)) {
      response.writeHead(200, {
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(links),
        Vary: 'Accept',
      })
      response.end(method === 'HEAD' ? undefined : links)
    } else send(request, response, file, path.startsWith(CONSOLE_FILES) ? FOR_EVER : CHECKED)
    return false
  }
}

/** Browsers accept text/html by name. Other programs accept anything, or JSON. */
const wantsHtml = ({ accept = '' }: IncomingHttpHeaders): boolean =>
  /\btext\/html\b(?!\s*;\s*q=0(?:\.0*)?(?:,|$))/i.test(accept)

function send(request: IncomingMessage, response: ServerResponse, file: ConsoleFile, cache: string): void {
  const encoding = encodingFor(request.headers)
  const etag = `"${file.tag}${encoding === 'identity' ? '' : `-${encoding}`}"`
  const headers = {
    'Content-Security-Policy': POLICY,
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': cache,
    Vary: 'Accept, Accept-Encoding',
    ETag: etag,
  }
  if (isKnown(request.headers, etag)) {
    response.writeHead(304, headers).end()
    return
  }
  const body = file[encoding]
  response.writeHead(200, {
    ...headers,
    'Content-Type': file.type,
    'Content-Length': body.length,
    ...(encoding === 'identity' ? {} : { 'Content-Encoding': encoding }),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

function encodingFor({ 'accept-encoding': accepted = '' }: IncomingHttpHeaders): 'br' | 'gzip' | 'identity' {
  const names = String(accepted)
    .split(',')
    .map((each) => each.trim().toLowerCase())
    .filter((each) => !/;\s*q=0(?:\.0*)?$/.test(each))
    .map((each) => each.replace(/\s*;.*$/, ''))
  return names.includes('br') ? 'br' : names.includes('gzip') ? 'gzip' : 'identity'
}

/** If-None-Match uses the weak comparison (RFC 9110, 13.1.2). */
function isKnown({ 'if-none-match': known = '' }: IncomingHttpHeaders, etag: string): boolean {
  return known.split(',').some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === etag)
}
