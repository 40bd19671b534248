// Rejects invalid parameters before anything is changed, and names the build after the deployed version.
import ims.Images

void call(Map config = [:]) {
    Map settings = [environment: params.ENVIRONMENT, tag: params.TAG, images: params.IMAGES] + config
    String registry = env.IMS_REGISTRY
    List<String> objections = []
    if (!(settings.environment ==~ /[a-z][a-z0-9-]*/)) {
        objections << "ENVIRONMENT must be the name of an overlay; it is '${settings.environment ?: ''}'"
    }
    if (Images.tagObjection(settings.tag)) {
        objections << Images.tagObjection(settings.tag)
    }
    // Without a registry the images must be on the nodes already, under their plain names.
    if (registry && Images.registryObjection(registry)) {
        objections << Images.registryObjection(registry)
    }
    if (registry && !settings.images?.trim()) {
        objections << 'IMAGES must be the reports/images.txt of the build: images are deployed by their digests'
    }
    if (objections) {
        error "Nothing was changed: ${objections.join('; ')}"
    }
    String what = "${settings.environment} ${settings.tag.take(12)}${params.DRY_RUN ? ' (dry run)' : ''}"
    currentBuild.displayName = "#${env.BUILD_NUMBER} ${what}"
}
