// Writes down which npm packages the images have, as CycloneDX.
import ims.Images

void call(Map config = [:]) {
    Map settings = [file: 'reports/sbom-npm.cdx.json'] + config
    withEnv(["SBOM=${settings.file}", "SERVICES=${Images.words()}"]) {
        sh(label: 'List the packages', script: libraryResource('ims/sbom.sh'))
    }
}
