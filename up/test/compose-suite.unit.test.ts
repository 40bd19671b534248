// What `npm run up` hands to docker compose: nothing that opens a door which plain `docker compose up` keeps shut.
import { describe, expect, it } from '@jest/globals'
import { composeEnvironment, composeUp } from '../src/suite/compose-suite.ts'

describe('with docker compose', () => {
  it.each([{}, { HTTP_HOST: '127.0.0.1' }, { HTTP_HOST: 'localhost' }])(
    'on loopback neither address nor host names are changed: %j',
    (environment) => {
      expect(composeEnvironment(environment)).toEqual({ ...environment, PORT: '5000' })
    },
  )

  it('elsewhere any host name is served, unless they are given', () => {
    const HTTP_HOST = '0.0.0.0'
    expect(composeEnvironment({ HTTP_HOST })).toMatchObject({ HTTP_ADDRESS: HTTP_HOST, HTTP_ALLOWED_HOSTS: '*' })
    expect(composeEnvironment({ HTTP_HOST, HTTP_ALLOWED_HOSTS: 'shop' })).toMatchObject({ HTTP_ALLOWED_HOSTS: 'shop' })
  })

  it('elsewhere nothing is started until somebody says who may call', async () => {
    const starting = composeUp({ HTTP_HOST: '0.0.0.0' }, { detach: true, stop: AbortSignal.abort() })
    await expect(starting).rejects.toThrow('HTTP_HOST=0.0.0.0 is not a loopback address.')
  })
})
