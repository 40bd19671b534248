// Pushes the images of this build to the registry, with the commit's id as their only tag.
void call(Map config = [:]) {
    Map settings = [registry: env.IMS_REGISTRY, credentials: 'ims-registry', attempts: 3] + config
    imsRegistry(registry: settings.registry)
    withEnv(["IMS_REGISTRY=${settings.registry}"]) {
        withCredentials([usernamePassword(
            credentialsId: settings.credentials,
            usernameVariable: 'REGISTRY_USER',
            passwordVariable: 'REGISTRY_PASSWORD')]) {
            retry(settings.attempts) {
                sh(label: 'Push the images', script: libraryResource('ims/push.sh'))
            }
        }
    }
}
