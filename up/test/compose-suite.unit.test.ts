// The environment that `npm run up` passes to docker compose. On loopback, it exposes no more than `docker compose up`.
import { describe, expect, it } from '@jest/globals'
import { composeEnvironment, composeUp } from '../src/suite/compose-suite.ts'

describe('npm run up with docker compose', () => {
  it.each([{}, { HTTP_HOST: '127.0.0.1' }, { HTTP_HOST: 'localhost' }])(
    'sets neither an address nor host names on loopback: %j',
    (environment) => {
      expect(composeEnvironment(environment)).toEqual({ ...environment, PORT: '5000' })
    },
  )

  it('allows any host name when not on loopback, unless HTTP_ALLOWED_HOSTS is set', () => {
    const HTTP_HOST = '0.0.0.0'
    expect(composeEnvironment({ HTTP_HOST })).toMatchObject({ HTTP_ADDRESS: HTTP_HOST, HTTP_ALLOWED_HOSTS: '*' })
    expect(composeEnvironment({ HTTP_HOST, HTTP_ALLOWED_HOSTS: 'shop' })).toMatchObject({ HTTP_ALLOWED_HOSTS: 'shop' })
  })

  it('fails when not on loopback and neither API keys nor API_KEYS=open is set', async () => {
    const starting = composeUp({ HTTP_HOST: '0.0.0.0' }, { detach: true, stop: AbortSignal.abort() })
    await expect(starting).rejects.toThrow('HTTP_HOST=0.0.0.0 is not a loopback address.')
  })
})
