// Builds the image of each service, all of them side by side.
import ims.Images

void call(Map config = [:]) {
    Map settings = [services: Images.SERVICES, attempts: 2] + config
    String script = libraryResource('ims/build-image.sh')
    Map branches = [failFast: true]
    for (String each in settings.services) {
        String service = each
        branches[service] = {
            withEnv(["SERVICE=${service}"]) {
                retry(settings.attempts) {
                    sh(label: "Build ${service}", script: script)
                }
            }
        }
    }
    parallel(branches)
}
