// Removes this build's images from the agent. Layers shared by builds stay in the builder's cache.
void call(Map config = [:]) {
    Map settings = [tag: env.IMS_TAG] + config
    if (!settings.tag) {
        return
    }
    withEnv(["IMS_TAG=${settings.tag}"]) {
        sh(label: 'Remove the images', script: libraryResource('ims/remove-images.sh'), returnStatus: true)
    }
}
