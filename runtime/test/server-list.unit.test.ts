// A list of servers in one environment variable: the parsed servers, and the error for each invalid entry.
import { describe, expect, it } from '@jest/globals'
import { addressOf, duplicateServers, serverList, serversOf } from '../src/server-list.ts'

const problems = (list: string) => serverList.safeParse(list).error?.issues.map(({ message }) => message)

describe('a list of servers', () => {
  it.each([
    ['rabbit', ['rabbit:5672']],
    ['a,b:5673, c.example.org ', ['a:5672', 'b:5673', 'c.example.org:5672']],
    ['192.0.2.1,192.0.2.2:1', ['192.0.2.1:5672', '192.0.2.2:1']],
    ['[2001:db8::1],[::1]:65535', ['[2001:db8::1]:5672', '[::1]:65535']],
    ['::1', ['[::1]:5672']],
    ['fe80::1%eth0', ['[fe80::1%eth0]:5672']],
  ])('is parsed, with the default port where none is set: %s', (list, expected) => {
    expect(problems(list)).toBeUndefined()
    expect(serversOf(list, 5672).map(addressOf)).toEqual(expected)
    expect(duplicateServers(list, 5672)).toEqual([])
  })

  it('has IPv6 hosts without their brackets', () => {
    expect(serversOf('[::1]:5673', 5672)).toEqual([{ host: '::1', port: 5673 }])
  })

  it.each([
    ['a,,b', ['entry 2 of 3 must not be empty']],
    ['a,', ['entry 2 of 2 must not be empty']],
    [' ', ['must not be empty']],
    ['a:0', ['must have a port from 1 to 65535']],
    ['a:70000,b:', ['entry 1 of 2 must have a port from 1 to 65535', 'entry 2 of 2 must have a port from 1 to 65535']],
    ['[::1]:x', ['must have a port from 1 to 65535']],
    ['[rabbit]:5672', ['must have an IPv6 address in its brackets']],
    ['amqp://ims:secret@rabbit', ['must be a host name or an address, not a URL']],
    ['a,ims:secret@rabbit:5672', ['entry 2 of 2 must be a host name or an address, not a URL']],
    ['a b', ['must be a host name or an address, not a URL']],
  ])('is rejected if it is %j, and the error does not contain the entry', (list, expected) => {
    expect(problems(list)).toEqual(expected)
  })

  it('is rejected if it repeats a server, even if one of the two entries uses the default port', () => {
    expect(duplicateServers('a,b,A:5672,b:5673,[::1],::1', 5672)).toEqual([
      'entry 3 of 6 must not repeat a:5672',
      'entry 6 of 6 must not repeat [::1]:5672',
    ])
  })
})
