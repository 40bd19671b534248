// The value of TRUST_PROXY: the proxies in front of the producer that may name the client.
import { BlockList, isIP } from 'node:net'
import express from 'express'
import { z } from 'zod'
import { withoutPort } from './client-address.ts'

const HOPS = /^[1-9]$/
const NAMED = new Set(['loopback', 'linklocal', 'uniquelocal'])

/** A list of addresses and networks, or a number of proxies. It cannot include all addresses, because any client can send X-Forwarded-For. */
export const trustedProxies = z.string().transform((text, context): number | readonly string[] => {
  if (HOPS.test(text)) return Number(text)
  const proxies = text.split(',').map((each) => each.trim())
  const wrong = proxies.filter((each) => !NAMED.has(each) && isIP(each) === 0 && !isNetwork(each))
  for (const each of wrong) {
    const message = `${JSON.stringify(each)} is not an address, a network (10.0.0.0/8), loopback, linklocal, uniquelocal or a number of proxies (1 to 9)`
    context.addIssue({ code: 'custom', message })
  }
  return proxies
})

function isNetwork(text: string): boolean {
  const [address = '', prefix = '', ...more] = text.split('/')
  const family = isIP(address)
  if (family === 0 || !/^\d{1,3}$/.test(prefix) || more.length > 0) return false
  try {
    new BlockList().addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6')
    // A prefix of 0 includes all addresses.
    return Number(prefix) > 0
  } catch {
    return false
  }
}

const trust = z.function({ input: [z.string(), z.number()], output: z.boolean() })

/**
 * Express's own interpretation of the setting, for addresses with and without a port: a proxy that writes ports also writes
 * that of the proxy before it.
 */
export function trustOf(trustProxy: number | readonly string[]): (address: string, hop: number) => boolean {
  const app = express()
  app.set('trust proxy', trustProxy)
  const trusts = trust.implement(app.get('trust proxy fn'))
  return (address, hop) => trusts(withoutPort(address), hop)
}

/** Whether the peer of a connection is a trusted proxy. */
export function trustsPeer(trustProxy: number | readonly string[] | undefined): (address: string) => boolean {
  if (trustProxy === undefined) return () => false
  const trusts = trustOf(trustProxy)
  return (address) => trusts(address, 0)
}
