// Builds the image of each service, in parallel and on one base image.
void call(Map config = [:]) {
    Map settings = [services: env.SERVICES.split(' '), attempts: 2] + config
    String script = libraryResource('ims/build-image.sh')
    String base = ''
    retry(settings.attempts) {
        base = sh(label: 'Find the base image', script: libraryResource('ims/base-image.sh'), returnStdout: true).trim()
    }
    Map branches = [failFast: true]
    for (String each in settings.services) {
        String service = each
        branches[service] = {
            withEnv(["SERVICE=${service}", "NODE_IMAGE=${base}"]) {
                retry(settings.attempts) {
                    sh(label: "Build ${service}", script: script)
                }
            }
        }
    }
    parallel(branches)
}
