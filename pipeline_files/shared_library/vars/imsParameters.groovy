// Refuses what cannot be deployed before anything is touched, and names the build after what it deploys.
import ims.Images

void call(Map config = [:]) {
    Map settings = [environment: params.ENVIRONMENT, tag: params.TAG, registry: env.IMS_REGISTRY] + config
    List<String> objections = []
    if (!(settings.environment ==~ /[a-z][a-z0-9-]*/)) {
        objections << "ENVIRONMENT must be the name of an overlay; it is '${settings.environment ?: ''}'"
    }
    if (Images.tagObjection(settings.tag)) {
        objections << Images.tagObjection(settings.tag)
    }
    // Without a registry the images are taken to be on the nodes already, under their bare names.
    if (settings.registry && Images.registryObjection(settings.registry)) {
        objections << Images.registryObjection(settings.registry)
    }
    if (objections) {
        error "Nothing was done: ${objections.join('; ')}"
    }
    String what = "${settings.environment} ${settings.tag.take(12)}${params.DRY_RUN ? ' (dry run)' : ''}"
    currentBuild.displayName = "#${env.BUILD_NUMBER} ${what}"
}
